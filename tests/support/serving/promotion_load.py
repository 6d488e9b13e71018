"""Promotions while clients send requests without an end, and what must be true of all answers."""

import http.client
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Any, Self

import grpc
import numpy as np
from tritonclient.grpc import service_pb2, service_pb2_grpc

from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving
from tests.support.waiting import until

CLIENTS = 4
REQUESTS_PER_SECOND = 200
BLANK = np.zeros((1, 28, 28), np.uint8)
# After so many calls a client connects anew: a connection stays with one worker.
CALLS_OF_A_CHANNEL = 40

# What a client was told: the version beside the answer, that in it, and the probabilities.
Told = tuple[str | None, str, list[float]]
Connect = Callable[[Serving], AbstractContextManager[Callable[[], Told]]]


@dataclass(frozen=True)
class Answer:
    """One request: when it was sent and answered, and what came back."""

    sent: float
    answered: float
    beside: str | None
    version: str
    values: list[float]


@dataclass
class Load:
    """Clients that each wait for an answer before the next request, at a bounded rate."""

    serving: Serving
    connect: Connect
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

    def has(self, version: str) -> bool:
        """Whether a version has answered."""
        return any(answer.version == version for answer in list(self.answers)[::-1])

    def _ask(self) -> None:
        pause = CLIENTS / REQUESTS_PER_SECOND
        with self.connect(self.serving) as ask:
            while not self._stop.is_set():
                sent = time.monotonic()
                try:
                    beside, version, values = ask()
                except (OSError, http.client.HTTPException, ValueError, grpc.RpcError) as error:
                    self.failures.append(repr(error))
                    continue
                self.answers.append(Answer(sent, time.monotonic(), beside, version, values))
                self._stop.wait(max(0.0, sent + pause - time.monotonic()))


@contextmanager
def by_http(serving: Serving) -> Iterator[Callable[[], Told]]:
    """A client with one connection, which it opens again after a failure."""
    connection = http.client.HTTPConnection("127.0.0.1", serving.port, timeout=60)
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8", "data": [0] * 784}
    sent, headers = json.dumps({"inputs": [tensor]}), {"Content-Type": "application/json"}

    def ask() -> Told:
        try:
            connection.request("POST", "/v2/models/digits/infer", sent, headers)
            response = connection.getresponse()
            body = json.loads(response.read())
            if response.status != 200:
                raise ValueError(f"{response.status}: {body}")
        except (OSError, http.client.HTTPException, ValueError):
            connection.close()
            raise
        version: str = body["model_version"]
        return response.getheader("X-Model-Version"), version, body["outputs"][0]["data"]

    try:
        yield ask
    finally:
        connection.close()


@contextmanager
def by_grpc(serving: Serving) -> Iterator[Callable[[], Told]]:
    """A client that connects anew now and then."""
    request = service_pb2.ModelInferRequest(model_name="digits")
    request.raw_input_contents.append(BLANK.tobytes())
    request.inputs.add(name="image", datatype="UINT8", shape=BLANK.shape)
    calls, channels = 0, [own_channel(serving.grpc_port)]

    def ask() -> Told:
        nonlocal calls
        calls += 1
        if calls % CALLS_OF_A_CHANNEL == 0:
            channels.pop().close()
            channels.append(own_channel(serving.grpc_port))
        stub = service_pb2_grpc.GRPCInferenceServiceStub(channels[0])
        answer, call = stub.ModelInfer.with_call(request, timeout=60)
        values = np.frombuffer(answer.raw_output_contents[0], np.float32).tolist()
        trailing: dict[str, Any] = dict(call.trailing_metadata())
        return trailing.get("x-model-version"), answer.model_version, values

    try:
        yield ask
    finally:
        channels[0].close()


def own_channel(port: int, **options: int) -> grpc.Channel:
    """A channel with a connection of its own, which gRPC shares otherwise."""
    named = [(f"grpc.{name}", value) for name, value in options.items()]
    alone = ("grpc.use_local_subchannel_pool", 1)
    return grpc.insecure_channel(f"127.0.0.1:{port}", options=[alone, *named])


def promote(log: AliasLog, number: int) -> float:
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


def promote_steadily(log: AliasLog, load: Load, count: int, *, seconds: float) -> dict[int, float]:
    """Promote versions 1 to `count` within about `seconds`; when each was acknowledged.

    Each has answered before the next is promoted.
    """
    acknowledged = {}
    for number in range(1, count + 1):
        end = time.monotonic() + seconds / count
        acknowledged[number] = promote(log, number)
        name = bundles.version_name(number)
        until(lambda name=name: load.has(name), what=f"an answer of {name}")
        until(lambda end=end: time.monotonic() >= end, seconds=seconds / count + 30)
        assert load.serving.process.poll() is None
    return acknowledged


def check(load: Load, acknowledged: dict[int, float]) -> None:
    """Check that no request failed, and that every answer is whole and by no older version.

    Version 0 answered before the first promotion.
    """
    assert not load.failures
    expected = {
        bundles.version_name(number): bundles.probabilities(number, BLANK)[0]
        for number in (0, *acknowledged)
    }
    # Every request was answered, each by the version that it names.
    for answer in load.answers:
        assert answer.beside == answer.version
        assert np.allclose(answer.values, expected[answer.version], atol=1e-5)
    assert {answer.version for answer in load.answers} == set(expected)

    # No request sent after an acknowledgement was answered by an older version.
    for number, acknowledged_at in acknowledged.items():
        late = [answer for answer in load.answers if answer.sent > acknowledged_at]
        assert all(answer.version >= bundles.version_name(number) for answer in late)
    _check_new_is_never_followed_by_old(load.answers)


def _check_new_is_never_followed_by_old(answers: list[Answer]) -> None:
    by_end = sorted(answers, key=lambda answer: answer.answered)
    by_start = sorted(answers, key=lambda answer: answer.sent)
    newest, ended = "", 0
    for answer in by_start:
        while ended < len(by_end) and by_end[ended].answered < answer.sent:
            newest = max(newest, by_end[ended].version)
            ended += 1
        assert answer.version >= newest
