"""Twenty thousand malformed requests over real connections: no 5xx, no crash, no memory growth."""

import json
import random
import socket
import threading
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

from tests.support.serving import bundles
from tests.support.serving.malformed_requests import LARGEST, PREDICT, Request, request
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(240)]

SEED = 20261122
REQUESTS, CLIENTS, TOGETHER = 20_000, 4, 16
MOST_GROWTH = 0.05
BLANK = np.zeros((1, 28, 28), np.uint8)


@dataclass
class Answers:
    """Counts of statuses, and responses that must not occur."""

    statuses: Counter[int] = field(default_factory=Counter)
    unanswered: int = 0
    wrong: list[str] = field(default_factory=list)

    def note(self, sent: Request, status: int, content: bytes) -> None:
        self.statuses[status] += 1
        if status >= 500 or (status >= 400 and not sent.alone and not _is_worded(content)):
            self.wrong.append(f"{status} {content[:300]!r} to {sent.encoded()[:600]!r}")


@pytest.fixture
def serving(bucket, address, tmp_path):
    log = alias_log(bucket, bundles.MODEL)
    bundles.publish(bucket, 1)
    promote(log, 1)
    settings = follow_settings(address, maximum_body_bytes=str(LARGEST), poll_seconds="1")
    with run_serving(place=tmp_path, **settings) as serving:
        until(serving.is_ready, what="serving is ready")
        yield serving


def test_malformed_requests_cause_no_5xx_no_crash_and_no_memory_growth(serving):
    workers = serving.workers()
    half = REQUESTS // 2

    first = _ask_all(serving.port, range(half))
    before = _resident_bytes(workers)
    second = _ask_all(serving.port, range(half, REQUESTS))
    after = _resident_bytes(workers)

    assert not first.wrong + second.wrong
    statuses = first.statuses + second.statuses
    assert {200, 400, 404, 405, 413, 415} <= set(statuses)
    assert statuses.total() + first.unanswered + second.unanswered == REQUESTS
    # Only truncated requests and those that are not HTTP get no response.
    assert first.unanswered + second.unanswered < REQUESTS * 0.05
    assert serving.workers() == workers
    assert after < before * (1 + MOST_GROWTH), f"grew from {before:,} to {after:,} bytes"
    _assert_answers_rightly(serving)


def _ask_all(port: int, numbers: range) -> Answers:
    """Send the requests of all these seeds, by several clients at once."""
    answers = [Answers() for _ in range(CLIENTS)]
    clients = [
        threading.Thread(target=_ask_some, args=(port, numbers[place::CLIENTS], answers[place]))
        for place in range(CLIENTS)
    ]
    for client in clients:
        client.start()
    for client in clients:
        client.join()
    return Answers(
        sum((item.statuses for item in answers), Counter()),
        sum(item.unanswered for item in answers),
        [text for item in answers for text in item.wrong],
    )


def _ask_some(port: int, numbers: range, answers: Answers) -> None:
    every = [request(random.Random(SEED * 1_000_000 + number)) for number in numbers]
    kept = [item for item in every if not item.alone]
    for start in range(0, len(kept), TOGETHER):
        _ask_together(port, kept[start : start + TOGETHER], answers)
    for item in every:
        if item.alone:
            _ask_alone(port, item, answers)


def _ask_together(port: int, sent: list[Request], answers: Answers) -> None:
    """Pipeline all requests over one connection, which must stay open."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        sending = threading.Thread(
            target=connection.sendall, args=(b"".join(item.encoded() for item in sent),)
        )
        sending.start()
        stream = connection.makefile("rb")
        for item in sent:
            answers.note(item, *_read_answer(stream))
        sending.join()


def _ask_alone(port: int, sent: Request, answers: Answers) -> None:
    """Send one request, shut down the sending side, and read the response, if any."""
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        with suppress(OSError):
            connection.sendall(sent.encoded())
            connection.shutdown(socket.SHUT_WR)
        try:
            answers.note(sent, *_read_answer(connection.makefile("rb")))
        except (ConnectionError, EOFError):
            answers.unanswered += 1


def _read_answer(stream: BinaryIO) -> tuple[int, bytes]:
    line = stream.readline()
    if not line:
        raise EOFError
    headers = {}
    while (header := stream.readline().strip()) and b":" in header:
        name, _, value = header.partition(b":")
        headers[name.lower()] = value.strip()
    return int(line.split()[1]), stream.read(int(headers.get(b"content-length", 0)))


def _is_worded(content: bytes) -> bool:
    with suppress(ValueError):
        body = json.loads(content)
        return bool(body.get("error") or body.get("detail"))
    return False


def _resident_bytes(workers: list[int]) -> int:
    pages = (int(Path(f"/proc/{pid}/statm").read_text().split()[1]) for pid in workers)
    return sum(pages) * 4_096


def _assert_answers_rightly(serving: Serving) -> None:
    for _ in range(10):
        status, headers, answer = serving.request("POST", PREDICT, {"instances": BLANK.tolist()})
        assert (status, headers["x-model-version"]) == (200, bundles.version_name(1))
        assert np.allclose(answer["predictions"], bundles.probabilities(1, BLANK), atol=1e-6)
