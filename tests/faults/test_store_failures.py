"""Pipeline runs on a failing store: they succeed, or report the failure and lose nothing."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.store.errors import StoreDenied, StoreUnavailable
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.faults.killable_store import Store, storing
from tests.support.faults.pipeline_processes import (
    PipelineRunner,
    check_final_state,
    check_invariants,
    start_runner,
)
from tests.support.faults.pipeline_run import DELIVERED_ROWS, PipelineContext
from tests.support.limits import LIMIT
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]

_TRIES = 8


def _tables(method: str, path: str) -> bool:
    """What Delta Lake's client asks for, and listings of it."""
    return "/datasets/" in path or "datasets" in path.partition("?")[2]


def _ours(method: str, path: str) -> bool:
    """Objects of our own: Delta Lake's client waits a minute before it takes one for hanging."""
    return not _tables(method, path)


NIGHTS = {
    "answers 500 at random": Fault(FaultKind.FAIL, share=0.15, status=500),
    "answers 503 at random": Fault(FaultKind.FAIL, share=0.15, status=503),
    "loses answers": Fault(FaultKind.LOSE_ANSWER, share=0.15),
    "cuts answers": Fault(FaultKind.TRUNCATE_ANSWER, share=0.15, only=_ours),
    # Delta Lake's client does not ask again for half an answer, so the night has to.
    "cuts answers about tables": Fault(FaultKind.TRUNCATE_ANSWER, share=0.04, only=_tables),
    "cuts requests": Fault(FaultKind.TRUNCATE_REQUEST, share=0.15),
    "hangs": Fault(FaultKind.HANG, share=0.05, only=_ours),
    "spoils requests": Fault(FaultKind.CORRUPT_REQUEST, share=0.15, only=_ours),
    "spoils answers": Fault(FaultKind.CORRUPT_ANSWER, share=0.15, only=_ours),
}


@pytest.fixture(scope="module")
def shared_runner(
    s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[PipelineRunner]:
    with start_runner(s3_endpoint, tmp_path_factory.mktemp("start_runner") / "log") as made:
        yield made


@pytest.fixture
def runner(shared_runner: PipelineRunner, seed_of: Callable[[str], str]) -> PipelineRunner:
    """Chance falls for a test alone as it does among all others."""
    shared_runner.proxy.reseed(seed_of("nights"))
    return shared_runner


@pytest.fixture
def context(s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path) -> PipelineContext:
    (tmp_path / "home").mkdir()
    return PipelineContext(s3_address, tmp_path / "home")


def finish(runner: PipelineRunner, context: PipelineContext, *, tries: int = _TRIES) -> list[str]:
    """Run a night as often as the flow's steps would be tried again; what each said."""
    outcome = [runner.run(context).outcome]
    while outcome[-1] not in {"Promoted", "UpToDate"}:
        assert outcome[-1].startswith("StoreUnavailable"), outcome
        assert len(outcome) < tries, outcome
        check_invariants(context, [], outcome[-1])
        outcome.append(runner.run(context).outcome)
    return outcome


# To a client 500 is what 503 is.
_THOROUGH = {"answers 500 at random"}


@pytest.mark.parametrize(
    "how",
    [pytest.param(how, marks=pytest.mark.thorough) if how in _THOROUGH else how for how in NIGHTS],
)
def test_a_run_succeeds_on_a_store_that_often_fails(
    how: str, runner: PipelineRunner, context: PipelineContext
) -> None:
    with runner.proxy.wrong(NIGHTS[how]):
        finish(runner, context)

    assert runner.proxy.injected[NIGHTS[how].wrong]
    check_final_state(context, [], rows=DELIVERED_ROWS, where=how)


def test_a_run_waits_for_a_store_that_hangs_and_succeeds(
    runner: PipelineRunner, context: PipelineContext
) -> None:
    runner.proxy.inject(Fault(FaultKind.HANG, only=_tables))
    with ThreadPoolExecutor(1) as pool:
        run = pool.submit(runner.run, context)
        try:
            until(lambda: runner.proxy.injected[FaultKind.HANG], what="a table hangs")
            assert not run.done()
        finally:
            runner.proxy.heal()

        assert run.result().outcome == "Promoted"
    check_final_state(context, [], rows=DELIVERED_ROWS, where="after tables that hung")


def test_a_run_reports_expired_credentials_and_the_next_one_finishes(
    runner: PipelineRunner, context: PipelineContext
) -> None:
    def of_the_version(method: str, path: str) -> bool:
        return "/versions/" in path

    with runner.proxy.wrong(
        Fault(FaultKind.FAIL, status=400, code="ExpiredToken", only=of_the_version)
    ):
        outcome = runner.run(context).outcome
    champions = check_invariants(context, [], "with expired credentials")

    assert outcome.startswith("StoreDenied")
    assert "ExpiredToken" in outcome
    assert "OVERNIGHT_S3_ACCESS_KEY" in outcome
    assert champions == []
    assert runner.run(context).outcome == "Promoted"
    check_final_state(context, [], rows=DELIVERED_ROWS, where="after new credentials")


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "RequestTimeTooSkewed"), (403, "ExpiredToken"), (400, "InvalidToken")],
)
def test_every_refusal_of_the_store_is_reported_as_denied(
    s3_endpoint: str, s3_bucket: S3Bucket, status: int, code: str
) -> None:
    with FaultProxy(s3_endpoint) as proxy:
        bucket = S3Bucket(replace(s3_bucket.address, endpoint=proxy.endpoint))
        proxy.inject(Fault(FaultKind.FAIL, status=status, code=code))

        with pytest.raises(StoreDenied, match=code):
            bucket.create("a", b"body")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storing(tmp_path_factory.mktemp("own")) as made:
        yield made


@pytest.fixture
def at_home(store: Store, tmp_path: Path) -> PipelineContext:
    (tmp_path / "home").mkdir()
    return PipelineContext(store.address(f"test-{uuid.uuid4().hex[:20]}"), tmp_path / "home")


def test_a_run_reports_a_full_disk_and_finishes_once_there_is_space(
    store: Store, at_home: PipelineContext, tmp_path: Path
) -> None:
    bucket = S3Bucket(at_home.address)
    bucket.create("probe/before", b"before")
    with start_runner(store.endpoint, tmp_path / "log") as runner:
        with store.full_disk():
            outcome = runner.run(at_home).outcome
            with pytest.raises(StoreUnavailable, match="500"):
                bucket.create("probe/full", b"there is no room for this")
            assert bucket.read("probe/before", LIMIT) == b"before"

        assert outcome.startswith("StoreUnavailable")
        assert runner.run(at_home).outcome == "Promoted"
    assert bucket.keys_below("probe") == ["probe/before"]
    check_final_state(at_home, [], rows=DELIVERED_ROWS, where="after a full disk")


def test_a_killed_store_keeps_every_acknowledged_write(
    store: Store, at_home: PipelineContext, tmp_path: Path
) -> None:
    with start_runner(store.endpoint, tmp_path / "log") as runner:
        for write in (4, 9, 5):
            bucket = S3Bucket(at_home.address)
            assert runner.run(at_home, write=write, before=False).killed
            kept = {key: bucket.read(key, LIMIT) for key in bucket.keys_below("models")}

            store.kill()
            store.start()

            assert {key: bucket.read(key, LIMIT) for key in kept} == kept
            check_invariants(at_home, [], f"the store killed after write {write}")
        assert finish(runner, at_home)[-1] in {"Promoted", "UpToDate"}
    check_final_state(at_home, [], rows=DELIVERED_ROWS, where="after the store was killed")
