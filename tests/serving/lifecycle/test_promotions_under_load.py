"""Ten promotions in a row under load: no request fails or is answered by an older version."""

import http.client
import json
import os
import threading
import time
from dataclasses import dataclass, field
from typing import Self

import numpy as np
import pytest

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

LOAD_SECONDS = float(os.environ.get("OVERNIGHT_TEST_LOAD_SECONDS", "20"))
CLIENTS = 4
REQUESTS_PER_SECOND = 200
PROMOTIONS = 10
BLANK = np.zeros((1, 28, 28), np.uint8)
BODY = json.dumps(
    {
        "inputs": [
            {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784},
        ]
    }
).encode()


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent and answered, and what came back."""

    sent: float
    answered: float
    status: int
    header: str | None
    body: dict


@dataclass
class Load:
    """Clients that each wait for an answer before the next request, at a bounded rate."""

    port: int
    answers: list[Answer] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._clients = [threading.Thread(target=self._ask) for _ in range(CLIENTS)]

    def __enter__(self) -> Self:
        for client in self._clients:
            client.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for client in self._clients:
            client.join()

    def _ask(self) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        pause = CLIENTS / REQUESTS_PER_SECOND
        while not self._stop.is_set():
            sent = time.monotonic()
            try:
                connection.request(
                    "POST", "/v2/models/digits/infer", BODY, {"Content-Type": "application/json"}
                )
                response = connection.getresponse()
                body = json.loads(response.read())
            except (OSError, http.client.HTTPException, ValueError) as error:
                self.failures.append(repr(error))
                connection.close()
                continue
            header = response.getheader("X-Model-Version")
            answered = time.monotonic()
            self.answers.append(Answer(sent, answered, response.status, header, body))
            self._stop.wait(max(0.0, sent + pause - time.monotonic()))
        connection.close()


def _promote(log: AliasLog, number: int) -> float:
    """Promote, wait until the host says that it serves, and return the time."""
    current = log.current()
    record = log.append(
        bundles.version_name(number),
        expected=current.version if current else None,
        actor=Actor("a test", f"promotion {number}"),
    )
    until(lambda: bool(log.acknowledgements(record.sequence)), what=f"record {number} acknowledged")
    (acknowledgement,) = log.acknowledgements(record.sequence)
    assert acknowledgement.serving, acknowledgement.reason
    return time.monotonic()


def _promote_steadily(log: AliasLog, serving: Serving) -> dict[int, float]:
    acknowledged = {}
    pause = LOAD_SECONDS / PROMOTIONS
    for number in range(1, PROMOTIONS + 1):
        started = time.monotonic()
        acknowledged[number] = _promote(log, number)
        until(lambda end=started + pause: time.monotonic() >= end, seconds=pause + 30)
        assert serving.process.poll() is None
    return acknowledged


def test_ten_promotions_under_load_fail_no_request(bucket, address, tmp_path):
    # Given two workers that answer with version 0, and clients that never stop sending requests.
    log = alias_log(bucket, bundles.MODEL)
    for number in range(PROMOTIONS + 1):
        bundles.publish(bucket, number)
    with run_serving(place=tmp_path, **follow_settings(address)) as serving:
        _promote(log, 0)
        until(serving.is_ready, what="serving is ready")

        # When ten versions are promoted one after the other.
        with Load(serving.port) as load:
            acknowledged = _promote_steadily(log, serving)

    # Then every request was answered, each by the version that it names.
    assert not load.failures
    assert {answer.status for answer in load.answers} == {200}
    assert len(load.answers) > LOAD_SECONDS * REQUESTS_PER_SECOND * 0.2
    expected = {
        bundles.version_name(number): bundles.probabilities(number, BLANK)[0]
        for number in range(PROMOTIONS + 1)
    }
    for answer in load.answers:
        assert answer.header == answer.body["model_version"]
        assert np.allclose(answer.body["outputs"][0]["data"], expected[answer.header], atol=1e-5)

    # Then no request sent after an acknowledgement was answered by an older version.
    names = sorted(expected)
    for number, acknowledged_at in acknowledged.items():
        late = [response for response in load.answers if response.sent > acknowledged_at]
        assert all(answer.header >= names[number] for answer in late)

    # Then no request that began after an answer of a newer version got an older one.
    _assert_new_is_never_followed_by_old(load.answers)
    assert {answer.header for answer in load.answers} == set(names)


def _assert_new_is_never_followed_by_old(answers: list[Answer]) -> None:
    by_end = sorted(answers, key=lambda answer: answer.answered)
    by_start = sorted(answers, key=lambda answer: answer.sent)
    newest, ended = "", 0
    for answer in by_start:
        while ended < len(by_end) and by_end[ended].answered < answer.sent:
            newest = max(newest, by_end[ended].header)
            ended += 1
        assert answer.header >= newest
