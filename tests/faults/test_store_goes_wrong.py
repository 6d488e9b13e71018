"""A night on a store that goes wrong: it ends well, or says what is wrong and loses nothing."""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.store.errors import StoreDenied, StoreUnavailable
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.fault_proxy import Fault, FaultProxy, Wrong
from tests.support.faults.killable_store import Store, storing
from tests.support.faults.pipeline_processes import Lane, check_at_any_time, check_at_the_end, lane
from tests.support.faults.pipeline_run import NIGHTLY_ROWS, House
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
    "answers 500 at random": Fault(Wrong.FAIL, share=0.15, status=500),
    "answers 503 at random": Fault(Wrong.FAIL, share=0.15, status=503),
    "loses answers": Fault(Wrong.LOSE_ANSWER, share=0.15),
    "cuts answers": Fault(Wrong.TRUNCATE_ANSWER, share=0.15, only=_ours),
    # Delta Lake's client does not ask again for half an answer, so the night has to.
    "cuts answers about tables": Fault(Wrong.TRUNCATE_ANSWER, share=0.04, only=_tables),
    "cuts requests": Fault(Wrong.TRUNCATE_REQUEST, share=0.15),
    "hangs": Fault(Wrong.HANG, share=0.05, only=_ours),
    "spoils requests": Fault(Wrong.CORRUPT_REQUEST, share=0.15, only=_ours),
    "spoils answers": Fault(Wrong.CORRUPT_ANSWER, share=0.15, only=_ours),
}


@pytest.fixture(scope="module")
def one_lane(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lane]:
    with lane(s3_endpoint, tmp_path_factory.mktemp("lane") / "log") as made:
        yield made


@pytest.fixture
def runs(one_lane: Lane, seed_of: Callable[[str], str]) -> Lane:
    """Chance falls for a test alone as it does among all others."""
    one_lane.proxy.reseed(seed_of("nights"))
    return one_lane


@pytest.fixture
def house(s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path) -> House:
    (tmp_path / "home").mkdir()
    return House(s3_address, tmp_path / "home")


def finish(runs: Lane, house: House, *, tries: int = _TRIES) -> list[str]:
    """Run a night as often as the flow's steps would be tried again; what each said."""
    said = [runs.night(house).said]
    while said[-1] not in {"Promoted", "UpToDate"}:
        assert said[-1].startswith("StoreUnavailable"), said
        assert len(said) < tries, said
        check_at_any_time(house, [], said[-1])
        said.append(runs.night(house).said)
    return said


@pytest.mark.parametrize("how", NIGHTS)
def test_on_a_store_that_often_goes_wrong_a_night_ends_well(
    how: str, runs: Lane, house: House
) -> None:
    with runs.proxy.wrong(NIGHTS[how]):
        finish(runs, house)

    assert runs.proxy.injected[NIGHTS[how].wrong]
    check_at_the_end(house, [], rows=NIGHTLY_ROWS, where=how)


def test_on_a_store_that_hangs_about_tables_a_night_waits_and_ends_well(
    runs: Lane, house: House
) -> None:
    runs.proxy.inject(Fault(Wrong.HANG, only=_tables))
    with ThreadPoolExecutor(1) as pool:
        night = pool.submit(runs.night, house)
        try:
            until(lambda: runs.proxy.injected[Wrong.HANG], what="a table hangs")
            assert not night.done()
        finally:
            runs.proxy.heal()

        assert night.result().said == "Promoted"
    check_at_the_end(house, [], rows=NIGHTLY_ROWS, where="after tables that hung")


def test_on_credentials_that_run_out_a_night_says_so_and_the_next_one_finishes(
    runs: Lane, house: House
) -> None:
    def of_the_version(method: str, path: str) -> bool:
        return "/versions/" in path

    with runs.proxy.wrong(Fault(Wrong.FAIL, status=400, code="ExpiredToken", only=of_the_version)):
        said = runs.night(house).said
    champions = check_at_any_time(house, [], "with expired credentials")

    assert said.startswith("StoreDenied")
    assert "ExpiredToken" in said
    assert "OVERNIGHT_S3_ACCESS_KEY" in said
    assert champions == []
    assert runs.night(house).said == "Promoted"
    check_at_the_end(house, [], rows=NIGHTLY_ROWS, where="after new credentials")


@pytest.mark.parametrize(
    ("status", "code"),
    [(403, "RequestTimeTooSkewed"), (403, "ExpiredToken"), (400, "InvalidToken")],
)
def test_whatever_a_store_refuses_us_for_is_told_as_a_refusal(
    s3_endpoint: str, s3_bucket: S3Bucket, status: int, code: str
) -> None:
    with FaultProxy(s3_endpoint) as proxy:
        bucket = S3Bucket(replace(s3_bucket.address, endpoint=proxy.endpoint))
        proxy.inject(Fault(Wrong.FAIL, status=status, code=code))

        with pytest.raises(StoreDenied, match=code):
            bucket.create("a", b"body")


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with storing(tmp_path_factory.mktemp("own")) as made:
        yield made


@pytest.fixture
def at_home(store: Store, tmp_path: Path) -> House:
    (tmp_path / "home").mkdir()
    return House(store.address(f"test-{uuid.uuid4().hex[:20]}"), tmp_path / "home")


def test_on_a_full_disk_a_night_says_so_and_finishes_when_there_is_room(
    store: Store, at_home: House, tmp_path: Path
) -> None:
    bucket = S3Bucket(at_home.address)
    bucket.create("probe/before", b"before")
    with lane(store.endpoint, tmp_path / "log") as runs:
        with store.full_disk():
            said = runs.night(at_home).said
            with pytest.raises(StoreUnavailable, match="500"):
                bucket.create("probe/full", b"there is no room for this")
            assert bucket.read("probe/before") == b"before"

        assert said.startswith("StoreUnavailable")
        assert runs.night(at_home).said == "Promoted"
    assert bucket.keys_below("probe") == ["probe/before"]
    check_at_the_end(at_home, [], rows=NIGHTLY_ROWS, where="after a full disk")


def test_a_store_that_is_killed_at_any_time_keeps_what_it_acknowledged(
    store: Store, at_home: House, tmp_path: Path
) -> None:
    with lane(store.endpoint, tmp_path / "log") as runs:
        for write in (4, 9, 5):
            bucket = S3Bucket(at_home.address)
            assert runs.night(at_home, write=write, before=False).killed
            kept = {key: bucket.read(key) for key in bucket.keys_below("models")}

            store.kill()
            store.start()

            assert {key: bucket.read(key) for key in kept} == kept
            check_at_any_time(at_home, [], f"the store killed after write {write}")
        assert finish(runs, at_home)[-1] in {"Promoted", "UpToDate"}
    check_at_the_end(at_home, [], rows=NIGHTLY_ROWS, where="after the store was killed")
