"""A night is killed at the writes it makes to the store, and goes on when it is run again.

The writes are found by running the night once and looking on, Delta Lake's commits included. At
each that commits something it is killed in any case, of the others at one in three; `make faults`
kills it at all of them.
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
    Lane,
    check_at_any_time,
    check_at_the_end,
    copied,
    lane,
    refused,
)
from tests.support.faults.pipeline_run import FITS, MODEL, NIGHTLY_ROWS, House, digits, files_of

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]

_LANES = 2
_FEWEST = {"Promoted": 12, "Refused": 8}
_FEW = 4
_SHARE = 1 / 3
_COMMITS = re.compile(r"PUT .*(_delta_log/|arrival|manifest|decision|champion/|refusals/)")


@dataclass(frozen=True)
class Chapter:
    """A night, the world as it was before it, and how it ends."""

    house: House
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

    def copy(self) -> House:
        name = f"test-{uuid.uuid4().hex[:20]}"
        address = replace(self._chapter.house.address, bucket=name)
        copied(S3Bucket(self._chapter.house.address), address)
        home = self._folder / name
        shutil.copytree(self._chapter.house.home, home)
        return replace(self._chapter.house, address=address, home=home)


@pytest.fixture(scope="module")
def lanes(s3_endpoint: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[list[Lane]]:
    folder = tmp_path_factory.mktemp("lanes")
    with ExitStack() as stack:
        yield [
            stack.enter_context(lane(s3_endpoint, folder / f"{number}.log"))
            for number in range(_LANES)
        ]


def first_night(address: S3Address, home: Path) -> Chapter:
    """Nothing was ever there."""
    home.mkdir()
    return Chapter(House(address, home), (), NIGHTLY_ROWS)


def later_night(address: S3Address, home: Path, lanes: list[Lane]) -> Chapter:
    """There is a champion, and somebody dropped files of which one cannot be read."""
    first = first_night(address, home).house
    assert lanes[0].night(first).said == "Promoted"
    files = {f"by-hand/{name}": body for name, body in files_of(digits(77)).items()}
    dropped = {**files, "other/notes.idx": b"not a digit in it"}
    Landing(S3Bucket(address), MODEL).land("by-hand", dropped, by="ann", at=datetime.now(UTC))
    champions = check_at_any_time(first, [], "before the chapter")
    return Chapter(first, champions, 2 * NIGHTLY_ROWS)


def refused_night(address: S3Address, home: Path, lanes: list[Lane]) -> Chapter:
    """As a later night; but its candidate is not what its gates ask for."""
    later = later_night(address, home, lanes)
    return replace(later, house=replace(later.house, least_accuracy=0.99), ends="Refused")


@pytest.mark.parametrize("which", ["the first night", "a later night", "a refused night"])
def test_killed_at_any_write_a_night_is_finished_by_the_next(
    which: str,
    lanes: list[Lane],
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
        chapter = later_night(s3_address, home, lanes)
    else:
        chapter = refused_night(s3_address, home, lanes)
    library = Library(chapter, tmp_path)
    writes = _writes(lanes[0], library.copy(), chapter)
    free: SimpleQueue[Lane] = SimpleQueue()
    for one in lanes:
        free.put(one)

    def told(point: tuple[int, bool]) -> None:
        lane = free.get()
        try:
            _killed_there(lane, library.copy(), chapter, writes, *point)
        finally:
            free.put(lane)

    share = 1.0 if thorough else _SHARE
    points = list(_points(writes, random.Random(seed_of("points")), share))
    assert len(writes) > _FEWEST[chapter.ends]
    assert len(points) > (len(writes) if thorough else _FEWEST[chapter.ends])
    if chapter.refusals and not thorough:
        # Until its refusal it is as any later night.
        points = points[-_FEW:]
    with ThreadPoolExecutor(_LANES) as pool:
        assert len(list(pool.map(told, points))) == len(points)


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


def _writes(lane: Lane, house: House, chapter: Chapter) -> list[str]:
    """What an undisturbed night writes, in its order."""
    assert lane.night(house).said == chapter.ends
    _ended_well(house, chapter, "undisturbed")
    return [f"{method} {path}" for method, path in lane.proxy.writes]


def _killed_there(
    lane: Lane, house: House, chapter: Chapter, writes: list[str], write: int, before: bool
) -> None:
    where = f"killed {'before' if before else 'after'} write {write}, {writes[write - 1]}"
    ended = lane.night(house, write=write, before=before)
    assert ended.killed, (where, ended)
    champions = check_at_any_time(house, list(chapter.champions), where)
    was_over = len(champions) > len(chapter.champions) or refused(house) > 0

    again = lane.night(house)

    assert again.said == ("UpToDate" if was_over else chapter.ends), (where, again)
    _ended_well(house, chapter, where)


def _ended_well(house: House, chapter: Chapter, where: str) -> None:
    check_at_the_end(
        house,
        list(chapter.champions),
        rows=chapter.rows,
        where=where,
        refusals=chapter.refusals,
    )


@pytest.mark.parametrize("before", [True, False], ids=["before the manifest", "after it"])
def test_on_another_machine_a_night_trains_again_only_what_was_not_published(
    before: bool, lanes: list[Lane], s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path
) -> None:
    chapter = first_night(s3_address, tmp_path / "home")
    library = Library(chapter, tmp_path)
    writes = _writes(lanes[0], library.copy(), chapter)
    (manifest,) = (n for n, write in enumerate(writes, 1) if write.endswith("manifest.json"))
    house = library.copy()
    assert lanes[0].night(house, write=manifest, before=before).killed
    check_at_any_time(house, [], "killed at the manifest")

    elsewhere = House(house.address, tmp_path / "elsewhere")
    elsewhere.home.mkdir()
    assert lanes[0].night(elsewhere).said == "Promoted"

    assert (elsewhere.home / FITS).exists() is before
    assert len(check_at_any_time(elsewhere, [], "on another machine")) == 1
    assert elsewhere.table("rows").read(columns=["digest"]).num_rows == NIGHTLY_ROWS
