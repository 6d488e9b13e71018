"""Two retrains of one model run at the same time, and nothing that keeps them apart but the store.

With Prefect between them the second waits: see `test_prefect_goes_wrong.py`.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.fault_proxy import Fault, Wrong
from tests.support.faults.pipeline_processes import Lane, check_at_any_time, check_at_the_end, lane
from tests.support.faults.pipeline_run import FITS, MODEL, NIGHTLY_ROWS, House
from tests.support.faults.tally import TALLY

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

_ROUNDS, _MANY_ROUNDS = 2, 10
# One of them is now and then a little later, so that they meet at other places each time.
_LATER = Fault(Wrong.DELAY, share=0.3, seconds=0.2)


@pytest.fixture(scope="module")
def two(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        yield [stack.enter_context(lane(s3_endpoint, folder / f"{n}.log")) for n in range(2)]


@pytest.fixture
def lanes(two: list[Lane], seed_of: Callable[[str], str]) -> list[Lane]:
    for number, one in enumerate(two):
        one.proxy.reseed(seed_of(f"night {number}"))
    return two


@pytest.fixture
def rounds(thorough: bool) -> int:
    return _MANY_ROUNDS if thorough else _ROUNDS


def fresh(address: S3Address, home: Path) -> House:
    home.mkdir()
    made = replace(address, bucket=f"test-{uuid.uuid4().hex[:20]}")
    S3Bucket(made).ensure()
    return House(made, home)


def both(lanes: list[Lane], *houses: House) -> list[str]:
    """Let two nights run at once; how each ended."""
    TALLY.inject("two retrains of one model at once")
    with ThreadPoolExecutor(2) as pool, lanes[0].proxy.wrong(_LATER):
        return [ended.said for ended in pool.map(Lane.night, lanes, houses)]


def check_said(said: list[str], log: AliasLog) -> None:
    """One record came of both; who was later found all done, or hears what serves."""
    (record,) = log.history()
    assert "Promoted" in said, said
    for one in said:
        # Of two that trained in the same second only one can be published.
        lost = one.startswith(("PromotionConflict", "AlreadyExists")) and record.version in one
        assert one in {"Promoted", "UpToDate"} or lost, said


def test_two_retrains_on_one_machine_train_once_and_come_to_one_version(
    lanes: list[Lane], s3_address: S3Address, tmp_path: Path, rounds: int
) -> None:
    for number in range(rounds):
        house = fresh(s3_address, tmp_path / f"home-{number}")

        said = both(lanes, house, house)

        check_said(said, AliasLog(S3Bucket(house.address), MODEL))
        check_at_the_end(house, [], rows=NIGHTLY_ROWS, where="two retrains at once")


def test_two_retrains_on_two_machines_come_to_one_champion_and_the_other_hears_which(
    lanes: list[Lane], s3_address: S3Address, tmp_path: Path, rounds: int
) -> None:
    for number in range(rounds):
        house = fresh(s3_address, tmp_path / f"here-{number}")
        elsewhere = House(house.address, tmp_path / f"there-{number}")
        elsewhere.home.mkdir()

        said = both(lanes, house, elsewhere)

        # Whoever was there first serves; what the other one trained is whole, and nobody's.
        champions = check_at_any_time(house, [], "two machines at once")
        assert house.table("rows").read(columns=["digest"]).num_rows == NIGHTLY_ROWS
        fits = sum((one.home / FITS).exists() for one in (house, elsewhere))
        found = ModelRegistry(S3Bucket(house.address), MODEL).versions()
        assert champions[0] in found
        assert len(found) <= fits <= 2
        check_said(said, AliasLog(S3Bucket(house.address), MODEL))
