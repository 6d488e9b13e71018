"""A pipeline run is killed at its writes to the store; the next run finishes its work.

The writes, Delta Lake's commits included, are recorded from one undisturbed run. A run is killed
just before every write that commits something; `make faults` kills one on both sides of each write.
"""

import re
import shutil
import uuid
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.pipeline_processes import (
    PipelineRunner,
    check_final_state,
    check_invariants,
    copy_bucket,
    count_refusals,
    start_runner,
)
from tests.support.faults.pipeline_run import (
    DELIVERED_ROWS,
    FITS,
    MODEL,
    PipelineContext,
    digits,
    files_of,
)

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]

_LANES = 2
_FEWEST = {"Promoted": 12, "Refused": 8}
_FEW = 3
_COMMITS = re.compile(r"PUT .*(_delta_log/|arrival|manifest|decision|champion/|refusals/)")


@dataclass(frozen=True)
class Scenario:
    """A run, the state of everything before it, and how it ends."""

    context: PipelineContext
    champions: Sequence[str]
    rows: int
    ends: str = "Promoted"

    @property
    def refusals(self) -> int:
        return int(self.ends == "Refused")


class ScenarioCopies:
    """Copies of the state before a scenario, one for each time that it runs."""

    def __init__(self, scenario: Scenario, folder: Path) -> None:
        self._scenario, self._folder = scenario, folder

    def copy(self) -> PipelineContext:
        name = f"test-{uuid.uuid4().hex[:20]}"
        address = replace(self._scenario.context.address, bucket=name)
        copy_bucket(S3Bucket(self._scenario.context.address), address)
        home = self._folder / name
        shutil.copytree(self._scenario.context.home, home)
        return replace(self._scenario.context, address=address, home=home)


@pytest.fixture(scope="module")
def runners(
    s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[list[PipelineRunner]]:
    folder = tmp_path_factory.mktemp("lanes")
    with ExitStack() as stack:
        yield [
            stack.enter_context(start_runner(s3_endpoint, folder / f"{number}.log"))
            for number in range(_LANES)
        ]


def first_run(address: S3Address, home: Path) -> Scenario:
    """Nothing was ever there."""
    home.mkdir()
    return Scenario(PipelineContext(address, home), (), DELIVERED_ROWS)


def later_run(address: S3Address, home: Path, runners: list[PipelineRunner]) -> Scenario:
    """There is a champion, and somebody dropped files of which one cannot be read."""
    first = first_run(address, home).context
    assert runners[0].run(first).outcome == "Promoted"
    files = {f"by-hand/{name}": body for name, body in files_of(digits(77)).items()}
    dropped = {**files, "other/notes.idx": b"not a digit in it"}
    Landing(S3Bucket(address), MODEL).land("by-hand", dropped, by="ann", at=datetime.now(UTC))
    champions = check_invariants(first, [], "before the scenario")
    return Scenario(first, champions, 2 * DELIVERED_ROWS)


def refused_run(address: S3Address, home: Path, runners: list[PipelineRunner]) -> Scenario:
    """As a later run; but its candidate is not what its gates ask for."""
    later = later_run(address, home, runners)
    return replace(later, context=replace(later.context, least_accuracy=0.99), ends="Refused")


@pytest.mark.parametrize("which", ["the first run", "a later run", "a refused run"])
def test_after_a_kill_at_any_write_the_next_run_finishes(
    which: str,
    runners: list[PipelineRunner],
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    tmp_path: Path,
    thorough: bool,
) -> None:
    home = tmp_path / "home"
    if which == "the first run":
        scenario = first_run(s3_address, home)
    elif which == "a later run":
        scenario = later_run(s3_address, home, runners)
    else:
        scenario = refused_run(s3_address, home, runners)
    copies = ScenarioCopies(scenario, tmp_path)
    writes = _writes(runners[0], copies.copy(), scenario)
    free: SimpleQueue[PipelineRunner] = SimpleQueue()
    for runner in runners:
        free.put(runner)

    def kill_at(point: tuple[int, bool]) -> None:
        runner = free.get()
        try:
            _killed_there(runner, copies.copy(), scenario, writes, *point)
        finally:
            free.put(runner)

    points = list(_points(writes, every=thorough))
    assert len(writes) > _FEWEST[scenario.ends]
    # Of a whole run's writes, more points than writes.
    assert len(points) >= (len(writes) if thorough else _FEW)
    if scenario.refusals and not thorough:
        # Until its refusal it is as any later run.
        points = points[-_FEW:]
    with ThreadPoolExecutor(_LANES) as pool:
        assert len(list(pool.map(kill_at, points))) == len(points)


def _points(writes: Sequence[str], *, every: bool) -> Iterator[tuple[int, bool]]:
    """Just before each write that commits something, and just after the last; or around every one.

    Just after one write the store is what it is just before the next; only the home may differ.
    """
    for number, write in enumerate(writes, start=1):
        if every or _COMMITS.search(write):
            yield number, True
        if every or number == len(writes):
            yield number, False


def _writes(runner: PipelineRunner, context: PipelineContext, scenario: Scenario) -> list[str]:
    """What an undisturbed run writes, in its order."""
    assert runner.run(context).outcome == scenario.ends
    _ended_well(context, scenario, "undisturbed")
    return [f"{method} {path}" for method, path in runner.proxy.writes]


def _killed_there(
    runner: PipelineRunner,
    context: PipelineContext,
    scenario: Scenario,
    writes: list[str],
    write: int,
    before: bool,
) -> None:
    where = f"killed {'before' if before else 'after'} write {write}, {writes[write - 1]}"
    ended = runner.run(context, write=write, before=before)
    assert ended.killed, (where, ended)
    champions = check_invariants(context, list(scenario.champions), where)
    was_over = len(champions) > len(scenario.champions) or count_refusals(context) > 0

    again = runner.run(context)

    assert again.outcome == ("UpToDate" if was_over else scenario.ends), (where, again)
    _ended_well(context, scenario, where)


def _ended_well(context: PipelineContext, scenario: Scenario, where: str) -> None:
    check_final_state(
        context,
        list(scenario.champions),
        rows=scenario.rows,
        where=where,
        refusals=scenario.refusals,
    )


@pytest.mark.parametrize("before", [True, False], ids=["before the manifest", "after it"])
def test_a_run_on_another_machine_trains_only_what_was_not_published(
    before: bool,
    runners: list[PipelineRunner],
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    tmp_path: Path,
) -> None:
    scenario = first_run(s3_address, tmp_path / "home")
    copies = ScenarioCopies(scenario, tmp_path)
    writes = _writes(runners[0], copies.copy(), scenario)
    (manifest,) = (n for n, write in enumerate(writes, 1) if write.endswith("manifest.json"))
    context = copies.copy()
    assert runners[0].run(context, write=manifest, before=before).killed
    check_invariants(context, [], "killed at the manifest")

    elsewhere = PipelineContext(context.address, tmp_path / "elsewhere")
    elsewhere.home.mkdir()
    assert runners[0].run(elsewhere).outcome == "Promoted"

    assert (elsewhere.home / FITS).exists() is before
    assert len(check_invariants(elsewhere, [], "on another machine")) == 1
    assert elsewhere.table("rows").read(columns=["digest"]).num_rows == DELIVERED_ROWS
