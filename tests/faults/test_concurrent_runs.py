"""Two retrains of one model at the same time, with only the store between them.

Under Prefect the second one waits: see `test_prefect_failures.py`.
"""

import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.registry import ModelRegistry
from tests.support.faults.fault_proxy import Fault, FaultKind
from tests.support.faults.pipeline_processes import (
    PipelineRunner,
    check_final_state,
    check_invariants,
    start_runner,
)
from tests.support.faults.pipeline_run import DELIVERED_ROWS, FITS, MODEL, PipelineContext
from tests.support.faults.tally import TALLY
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

_ROUNDS, _MANY_ROUNDS = 2, 10
# One of them is now and then a little later, so that they meet at other places each time.
_LATER = Fault(FaultKind.DELAY, share=0.3, seconds=0.2)


@pytest.fixture(scope="module")
def two(
    s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[PipelineRunner]]:
    folder = tmp_path_factory.mktemp("two")
    with ExitStack() as stack:
        yield [
            stack.enter_context(start_runner(s3_endpoint, folder / f"{n}.log")) for n in range(2)
        ]


@pytest.fixture
def runners(two: list[PipelineRunner], seed_of: Callable[[str], str]) -> list[PipelineRunner]:
    for number, one in enumerate(two):
        one.proxy.reseed(seed_of(f"night {number}"))
    return two


@pytest.fixture
def rounds(thorough: bool) -> int:
    return _MANY_ROUNDS if thorough else _ROUNDS


def fresh(address: S3Address, home: Path) -> PipelineContext:
    home.mkdir()
    made = replace(address, bucket=f"test-{uuid.uuid4().hex[:20]}")
    S3Bucket(made).ensure()
    return PipelineContext(made, home)


def both(runners: list[PipelineRunner], *contexts: PipelineContext) -> list[str]:
    """Let two nights run at once; how each ended."""
    TALLY.inject("two retrains of one model at once")
    with ThreadPoolExecutor(2) as pool, runners[0].proxy.wrong(_LATER):
        return [ended.outcome for ended in pool.map(PipelineRunner.run, runners, contexts)]


def check_said(outcome: list[str], log: AliasLog) -> None:
    """One record came of both; who was later found all done, or hears what serves."""
    (record,) = log.history()
    assert "Promoted" in outcome, outcome
    for one in outcome:
        # Of two that trained in the same second only one can be published.
        lost = one.startswith(("PromotionConflict", "AlreadyExists")) and record.version in one
        assert one in {"Promoted", "UpToDate"} or lost, outcome


def test_two_runs_at_once_on_one_machine_train_once_and_publish_one_version(
    runners: list[PipelineRunner], s3_address: S3Address, tmp_path: Path, rounds: int
) -> None:
    for number in range(rounds):
        context = fresh(s3_address, tmp_path / f"home-{number}")

        outcome = both(runners, context, context)

        check_said(outcome, alias_log(S3Bucket(context.address), MODEL))
        check_final_state(context, [], rows=DELIVERED_ROWS, where="two retrains at once")


def test_two_runs_at_once_on_two_machines_agree_on_one_champion(
    runners: list[PipelineRunner], s3_address: S3Address, tmp_path: Path, rounds: int
) -> None:
    for number in range(rounds):
        context = fresh(s3_address, tmp_path / f"here-{number}")
        elsewhere = PipelineContext(context.address, tmp_path / f"there-{number}")
        elsewhere.home.mkdir()

        outcome = both(runners, context, elsewhere)

        # Whoever was there first serves; what the other one trained is whole, and nobody's.
        champions = check_invariants(context, [], "two machines at once")
        assert context.table("rows").read(columns=["digest"]).num_rows == DELIVERED_ROWS
        fits = sum((one.home / FITS).exists() for one in (context, elsewhere))
        found = ModelRegistry(S3Bucket(context.address), MODEL).versions()
        assert champions[0] in found
        assert len(found) <= fits <= 2
        check_said(outcome, alias_log(S3Bucket(context.address), MODEL))
