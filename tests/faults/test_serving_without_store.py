"""Serving while the store fails in every known way: it answers, reports it and catches up."""

import os
import re
import signal
import uuid
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import numpy as np
import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.faults.tally import TALLY
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]

BLANK = np.zeros((1, 28, 28), np.uint8)


def _is_version_file(method: str, path: str) -> bool:
    return method == "GET" and "/versions/" in path


def _is_record(method: str, path: str) -> bool:
    return method == "GET" and "/aliases/" in path


OUTAGES = {
    "refuses": Fault(FaultKind.REFUSE),
    "hangs": Fault(FaultKind.HANG),
    "answers 500": Fault(FaultKind.FAIL, status=500),
    "answers 503": Fault(FaultKind.FAIL, status=503),
    "truncates records": Fault(FaultKind.TRUNCATE_ANSWER, only=_is_record),
    "truncates versions": Fault(FaultKind.TRUNCATE_ANSWER, only=_is_version_file),
    "loses answers": Fault(FaultKind.LOSE_ANSWER),
    "denies": Fault(FaultKind.FAIL, status=403, code="ExpiredToken"),
    "corrupts versions": Fault(FaultKind.CORRUPT_ANSWER, only=_is_version_file),
}


class Host:
    """A serving host behind the fault proxy, and a store that gets one version more at a time."""

    def __init__(self, endpoint: str, proxy: FaultProxy, place: Path) -> None:
        address = S3Address(endpoint, f"test-{uuid.uuid4().hex[:20]}", ACCESS, SECRET)
        self.proxy, self.place = proxy, place
        self._bucket = S3Bucket(address)
        self._bucket.ensure()
        self._log = alias_log(self._bucket, bundles.MODEL)
        self._settings = follow_settings(address) | {"s3_endpoint": proxy.endpoint}
        self._process = ExitStack()
        self.serving: Serving
        self.newest = 0

    def promote(self) -> None:
        """Publish one more version and promote it, past the proxy."""
        self.newest += 1
        bundles.publish(self._bucket, self.newest)
        promote(self._log, self.newest)

    def start(self) -> None:
        self.serving = self._process.enter_context(run_serving(place=self.place, **self._settings))

    def kill(self) -> None:
        """End it as a power cut does."""
        for pid in (self.serving.process.pid, *self.serving.workers()):
            os.kill(pid, signal.SIGKILL)
        TALLY.inject("a serving host was killed")
        self._process.close()

    def stop(self) -> None:
        self._process.close()

    def has_caught_up(self) -> bool:
        """Whether the newest version answers, and the store was told so."""
        return any(output.serving for output in self._log.acknowledgements(self.newest))

    def trouble(self) -> str | None:
        return self.serving.request("GET", "/api/models/digits")[2]["sync_error"]

    def metrics(self) -> str:
        return self.serving.request("GET", "/metrics")[2].decode()

    def age(self) -> float:
        name = r'overnight_last_sync_age_seconds\{model="digits"\} (\S+)'
        found = re.search(name, self.metrics())
        assert found
        return float(found[1])


@pytest.fixture(scope="module")
def host(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Host]:
    """A host that answers with version 1."""
    with FaultProxy(s3_endpoint) as proxy:
        host = Host(s3_endpoint, proxy, tmp_path_factory.mktemp("host"))
        host.promote()
        host.start()
        until(host.has_caught_up, what="version 1 is served")
        yield host
        host.stop()


@pytest.fixture
def spoil(host: Host, seed_of: Callable[[str], str]) -> Iterator[Callable[[Fault], None]]:
    """Let things go wrong, until the test is over at the latest."""
    host.proxy.reseed(seed_of("serving"))
    yield host.proxy.inject
    host.proxy.heal()
    until(host.has_caught_up, what="the newest version is served after the test")


@pytest.mark.parametrize("outage", OUTAGES)
def test_without_the_store_serving_answers_restarts_from_its_cache_and_catches_up_later(
    host, spoil, outage
):
    # Given a host that answers, when the store goes wrong and a newer version comes.
    old = host.newest
    spoil(OUTAGES[outage])
    host.promote()

    # Then it goes on answering, and says what is wrong wherever one would look.
    until(host.trouble, what="the trouble is told")
    _assert_answers(host, old)
    _assert_trouble_shows(host)
    assert set(host.proxy.injected) == {OUTAGES[outage].wrong}

    # When it is killed and starts again, it answers from its cache, and loads nothing half done.
    host.kill()
    host.start()
    until(host.serving.is_ready, what="ready from the cache")
    _assert_answers(host, old)
    assert not [path for path in host.place.rglob(bundles.version_name(old + 1)) if path.is_dir()]

    # And when the store is well again, it takes up what it missed.
    host.proxy.heal()
    until(host.has_caught_up, what="the newer version is taken up")
    until(lambda: not host.trouble(), what="the trouble is over")
    _assert_answers(host, old + 1)
    assert 'overnight_store_errors{model="digits"} 0' in host.metrics()
    assert host.serving.request("GET", "/v2/health/ready")[2]["sync_errors"] == {}


@pytest.mark.parametrize("wrong", [FaultKind.DELAY, FaultKind.LOSE_ANSWER, FaultKind.FAIL])
def test_a_store_that_often_fails_only_delays_a_promotion(host, spoil, wrong):
    spoil(Fault(wrong, share=0.2, seconds=0.1))

    host.promote()

    until(host.has_caught_up, what="the newer version is taken up and acknowledged")
    _assert_answers(host, host.newest)
    assert host.proxy.injected[wrong]


def _assert_answers(host: Host, number: int) -> None:
    for _ in range(4):
        status, headers, answer = host.serving.request(
            "POST", "/v1/models/digits:predict", {"instances": BLANK.tolist()}
        )
        assert (status, headers["x-model-version"]) == (200, bundles.version_name(number))
        expected = bundles.probabilities(number, BLANK)
        assert np.allclose(answer["predictions"], expected, atol=1e-6)


def _assert_trouble_shows(host: Host) -> None:
    assert 'overnight_store_errors{model="digits"} 1' in host.metrics()
    status, _, ready = host.serving.request("GET", "/v2/health/ready")
    assert (status, ready["ready"], ready["models"]) == (200, True, {"digits": True})
    reported = ready["sync_errors"]["digits"]
    assert "does not answer" in reported or "ExpiredToken" in reported
    age = host.age()
    until(lambda: host.age() > age, what="the age of what is known grows")
