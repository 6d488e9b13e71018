"""Requests at a steady rate in the background, and the result of each."""

import http.client
import json
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from urllib.parse import urlsplit

_BODY = json.dumps(
    {"inputs": [{"name": "image", "datatype": "UINT8", "shape": [1, 28, 28], "data": [0] * 784}]}
).encode()


@dataclass
class LoadResult:
    """How many answers each version gave, in the order of their first, and what failed."""

    answers: Counter[str] = field(default_factory=Counter)
    failures: list[str] = field(default_factory=list)


@contextmanager
def steady(url: str, *, requests_per_second: float = 50) -> Iterator[LoadResult]:
    """Ask serving for one digit again and again, over one kept connection."""
    tally, over = LoadResult(), threading.Event()
    address = urlsplit(url).netloc

    def ask() -> None:
        connection = http.client.HTTPConnection(address, timeout=60)
        while not over.wait(1 / requests_per_second):
            try:
                connection.request("POST", "/v2/models/digits/infer", body=_BODY)
                answer = connection.getresponse()
                answer.read()
                if answer.status == http.HTTPStatus.OK:
                    tally.answers[answer.headers["X-Model-Version"]] += 1
                else:
                    tally.failures.append(f"{answer.status}")
            except (OSError, http.client.HTTPException) as error:
                tally.failures.append(repr(error))
                connection.close()
        connection.close()

    asking = threading.Thread(target=ask, daemon=True)
    asking.start()
    try:
        yield tally
    finally:
        over.set()
        asking.join()
