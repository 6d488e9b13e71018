"""A pipeline run is killed at its writes to the store; the next run finishes its work.

The writes, Delta Lake's commits included, are recorded from one undisturbed run. A run is killed
at every write that commits something and at some of the others; `make faults` kills one at each.
"""

import random
import re
import shutil
import uuid
from collections.abc import Callable, Iterator, Sequence
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
_FEW = 4
_SHARE = 1 / 3
_COMMITS = re.compile(r"PUT .*(_delta_log/|arrival|manifest|decision|champion/|refusals/)")


@dataclass(frozen=True)
class Chapter:
    """A night, the world as it was before it, and how it ends."""

    context: PipelineContext
    champions: Sequence[str]
    rows: int
    ends: str = "Promoted"

    @property
    def refusals(self) -> int:
        return int(self.ends == "Refused")


class Library:
    """Copies of the world before a chapter, one for each time that it is told."""

    def __init__(self, chapter: Chapter, folder: Path) -> None:
        self._chapter, self._folder = chapter, folder

    def copy(self) -> PipelineContext:
        name = f"test-{uuid.uuid4().hex[:20]}"
        address = replace(self._chapter.context.address, bucket=name)
        copy_bucket(S3Bucket(self._chapter.context.address), address)
        home = self._folder / name
        shutil.copytree(self._chapter.context.home, home)
        return replace(self._chapter.context, address=address, home=home)


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


def first_night(address: S3Address, home: Path) -> Chapter:
    """Nothing was ever there."""
    home.mkdir()
    return Chapter(PipelineContext(address, home), (), DELIVERED_ROWS)


def later_night(address: S3Address, home: Path, runners: list[PipelineRunner]) -> Chapter:
    """There is a champion, and somebody dropped files of which one cannot be read."""
    first = first_night(address, home).context
    assert runners[0].run(first).outcome == "Promoted"
    files = {f"by-hand/{name}": body for name, body in files_of(digits(77)).items()}
    dropped = {**files, "other/notes.idx": b"not a digit in it"}
    Landing(S3Bucket(address), MODEL).land("by-hand", dropped, by="ann", at=datetime.now(UTC))
    champions = check_invariants(first, [], "before the chapter")
    return Chapter(first, champions, 2 * DELIVERED_ROWS)


def refused_night(address: S3Address, home: Path, runners: list[PipelineRunner]) -> Chapter:
    """As a later night; but its candidate is not what its gates ask for."""
    later = later_night(address, home, runners)
    return replace(later, context=replace(later.context, least_accuracy=0.99), ends="Refused")


@pytest.mark.parametrize("which", ["the first night", "a later night", "a refused night"])
def test_after_a_kill_at_any_write_the_next_run_finishes(
    which: str,
    runners: list[PipelineRunner],
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    tmp_path: Path,
    seed_of: Callable[[str], str],
    thorough: bool,
) -> None:
    home = tmp_path / "home"
    if which == "the first night":
        chapter = first_night(s3_address, home)
    elif which == "a later night":
        chapter = later_night(s3_address, home, runners)
    else:
        chapter = refused_night(s3_address, home, runners)
    library = Library(chapter, tmp_path)
    writes = _writes(runners[0], library.copy(), chapter)
    free: SimpleQueue[PipelineRunner] = SimpleQueue()
    for one in runners:
        free.put(one)

    def reported(point: tuple[int, bool]) -> None:
        runner = free.get()
        try:
            _killed_there(runner, library.copy(), chapter, writes, *point)
        finally:
            free.put(runner)

    share = 1.0 if thorough else _SHARE
    points = list(_points(writes, random.Random(seed_of("points")), share))
    assert len(writes) > _FEWEST[chapter.ends]
    # At least both sides of two commits; of a whole run's writes, more points than writes.
    assert len(points) >= (len(writes) if thorough else _FEW)
    if chapter.refusals and not thorough:
        # Until its refusal it is as any later night.
        points = points[-_FEW:]
    with ThreadPoolExecutor(_LANES) as pool:
        assert len(list(pool.map(reported, points))) == len(points)


def _points(
    writes: Sequence[str], chance: random.Random, share: float
) -> Iterator[tuple[int, bool]]:
    """Just before and just after each write that commits something, and this share of the others.

    Just after one write the store is what it is just before the next; only the home may differ.
    """
    for number, write in enumerate(writes, start=1):
        commits = _COMMITS.search(write) or number == len(writes)
        if commits or chance.random() < share:
            yield number, True
        if commits or share == 1:
            yield number, False


def _writes(runner: PipelineRunner, context: PipelineContext, chapter: Chapter) -> list[str]:
    """What an undisturbed night writes, in its order."""
    assert runner.run(context).outcome == chapter.ends
    _ended_well(context, chapter, "undisturbed")
    return [f"{method} {path}" for method, path in runner.proxy.writes]


def _killed_there(
    runner: PipelineRunner,
    context: PipelineContext,
    chapter: Chapter,
    writes: list[str],
    write: int,
    before: bool,
) -> None:
    where = f"killed {'before' if before else 'after'} write {write}, {writes[write - 1]}"
    ended = runner.run(context, write=write, before=before)
    assert ended.killed, (where, ended)
    champions = check_invariants(context, list(chapter.champions), where)
    was_over = len(champions) > len(chapter.champions) or count_refusals(context) > 0

    again = runner.run(context)

    assert again.outcome == ("UpToDate" if was_over else chapter.ends), (where, again)
    _ended_well(context, chapter, where)


def _ended_well(context: PipelineContext, chapter: Chapter, where: str) -> None:
    check_final_state(
        context,
        list(chapter.champions),
        rows=chapter.rows,
        where=where,
        refusals=chapter.refusals,
    )


@pytest.mark.parametrize("before", [True, False], ids=["before the manifest", "after it"])
def test_a_run_on_another_machine_trains_only_what_was_not_published(
    before: bool,
    runners: list[PipelineRunner],
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    tmp_path: Path,
) -> None:
    chapter = first_night(s3_address, tmp_path / "home")
    library = Library(chapter, tmp_path)
    writes = _writes(runners[0], library.copy(), chapter)
    (manifest,) = (n for n, write in enumerate(writes, 1) if write.endswith("manifest.json"))
    context = library.copy()
    assert runners[0].run(context, write=manifest, before=before).killed
    check_invariants(context, [], "killed at the manifest")

    elsewhere = PipelineContext(context.address, tmp_path / "elsewhere")
    elsewhere.home.mkdir()
    assert runners[0].run(elsewhere).outcome == "Promoted"

    assert (elsewhere.home / FITS).exists() is before
    assert len(check_invariants(elsewhere, [], "on another machine")) == 1
    assert elsewhere.table("rows").read(columns=["digest"]).num_rows == DELIVERED_ROWS
