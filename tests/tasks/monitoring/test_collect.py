"""Segments come from the spool into the tables exactly once, whatever dies or is broken."""

import threading
from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from overnight.store.datasets.table_address import TableAddress
from overnight.store.errors import StoreUnavailable
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.tables import LabelTable, PredictionTable, SegmentId
from overnight.tasks.monitoring import collect as collecting
from overnight.tasks.monitoring.collect import Collected, collect
from tests.support.crashing_stores import Fuse, Killed, KillingBucket
from tests.support.prediction_log import MODEL, NOON, answered, body, sent, ship

NOW = NOON + timedelta(hours=1)
Record = AnsweredRequest | SentLabel


class Spool:
    """A bucket in memory with a spool, and tables in a folder."""

    def __init__(self, folder: Path) -> None:
        self.bucket = MemoryBucket()
        self.folder = folder
        self.predictions = PredictionTable.in_folder(folder, MODEL)
        self.labels = LabelTable.in_folder(folder, MODEL)

    def collect(self, **others) -> Collected:
        return collect(self.bucket, MODEL, self.predictions, self.labels, now=NOW, **others)

    def left(self) -> list[str]:
        return self.bucket.keys_below(keys.spool(MODEL))

    def counts(self) -> Counter[str]:
        """How often each request is in the tables."""
        answers = self.predictions.read(columns=["request"]).column("request").to_pylist()
        labels = self.labels.read(columns=["request"]).column("request").to_pylist()
        return Counter([*answers, *(f"label of {each}" for each in labels)])


@pytest.fixture
def spool(tmp_path: Path) -> Spool:
    return Spool(tmp_path)


def test_an_empty_spool_makes_no_table(spool: Spool) -> None:
    assert spool.collect() == Collected()
    assert not list(spool.folder.iterdir())


def test_segments_of_all_hosts_are_moved_into_the_tables(spool: Spool) -> None:
    ship(spool.bucket, 1, answered("a", n=3), sent("a"), answered("b"))
    ship(spool.bucket, 5, sent("b"), incarnation="b" * 32, host="host-2")

    assert spool.collect() == Collected(answers=4, labels=2, segments=2)

    assert spool.counts() == {"a": 3, "b": 1, "label of a": 1, "label of b": 1}
    assert spool.left() == []
    assert spool.collect() == Collected()


def test_rows_say_when_they_were_collected(spool: Spool) -> None:
    ship(spool.bucket, 1, answered("a"), sent("a"))

    spool.collect()

    for table in (spool.predictions, spool.labels):
        assert set(table.read(columns=["collected"])["collected"].to_pylist()) == {NOW}


def test_a_segment_that_is_shipped_again_adds_nothing(spool: Spool) -> None:
    ship(spool.bucket, 1, answered("a"), sent("a"))
    spool.collect()
    ship(spool.bucket, 1, answered("a"), sent("a"))
    ship(spool.bucket, 1, answered("a"), sent("a"), host="the-same-under-another-name")

    assert spool.collect() == Collected(segments=2)
    assert spool.counts() == {"a": 1, "label of a": 1}
    assert spool.left() == []


def test_a_segment_under_two_names_at_once_adds_its_rows_once(spool: Spool) -> None:
    ship(spool.bucket, 1, answered("a"))
    ship(spool.bucket, 1, answered("a"), host="host-2")

    assert spool.collect() == Collected(answers=1, segments=2)
    assert spool.counts() == {"a": 1}


@pytest.mark.parametrize("batch_bytes", [1, 700, 10**9])
def test_a_batch_is_bounded_and_all_batches_are_collected(
    spool: Spool, batch_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BATCH_BYTES", batch_bytes)
    for number in range(6):
        ship(spool.bucket, number, answered(f"{number}"), sent(f"{number}"))

    assert spool.collect() == Collected(answers=6, labels=6, segments=6)
    assert set(spool.counts().values()) == {1}


def test_what_is_broken_hides_nothing_else(spool: Spool) -> None:
    whole = body(answered("whole"))
    torn = ship(spool.bucket, 1, answered("before the tear"), answered("torn"))
    spool.bucket.remove(torn)
    spool.bucket.create(torn, body(answered("before the tear")) + whole[: len(whole) // 2])
    altered = bytearray(body(answered("altered")) + body(answered("after it")))
    altered[len(altered) // 2 - 20] ^= 1
    spool.bucket.create(torn.replace("00000001", "00000002"), bytes(altered))
    spool.bucket.create(torn.replace("00000001", "00000003"), b"no segment at all")
    spool.bucket.create(torn.replace("00000001", "00000004"), b"")
    ship(spool.bucket, 5, answered("good"), sent("good"))

    done = spool.collect()

    assert (done.segments, done.torn, done.damaged) == (5, 2, 1)
    assert spool.counts() == {
        "before the tear": 1,
        "after it": 1,
        "good": 1,
        "label of good": 1,
    }
    assert any("checksum" in each for each in done.problems)
    assert spool.left() == []


def test_keys_that_are_no_segments_stay_and_are_counted(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "MAXIMUM_SEGMENT_BYTES", 10_000)
    spool.bucket.create(f"{keys.spool(MODEL)}/host-1/readme.txt", b"hello")
    spool.bucket.create(f"{keys.spool(MODEL)}/stray", b"hello")
    long = ship(spool.bucket, 1, answered("long"))
    spool.bucket.remove(long)
    spool.bucket.create(long, b"x" * 10_001)
    ship(spool.bucket, 2, answered("good"))

    done = spool.collect()

    assert (done.segments, done.left) == (1, 3)
    assert spool.counts() == {"good": 1}
    assert len(spool.left()) == 3
    assert any("at most 10,000 bytes" in each for each in done.problems)


@pytest.mark.parametrize(
    ("record", "why"),
    [
        (answered("x", model="sales"), "of another model"),
        (answered("x", at=NOW - timedelta(days=31)), "expired"),
        (answered("x", at=NOW + timedelta(days=2)), "ahead of time"),
        (answered("x", at_us=-1), "unsound"),
        (answered("x", at_us=2**62), "unsound"),
        (answered("x", n=1_000_000, inputs={}, outputs={}), "unsound"),
        (answered("x", n=9, outputs={"p": np.zeros((9, 0), np.float32)}), "unsound"),
        (sent("x", row=-1), "unsound"),
        (sent("x", row=2**40), "unsound"),
        (sent("x", model="sales"), "of another model"),
    ],
)
def test_a_record_that_can_be_no_row_is_dropped_and_counted(
    spool: Spool, record: Record, why: str
) -> None:
    ship(spool.bucket, 1, record, answered("good"))

    done = spool.collect(keep_days=30)

    assert done.dropped == {why: 1}
    assert why in done.problems[0]
    assert spool.counts() == {"good": 1}
    assert spool.left() == []


def test_a_segment_with_more_rows_than_any_has_takes_no_more_memory(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "SEGMENT_ROWS", 10)
    flags = {"p": np.ones(8, bool)}
    ship(spool.bucket, 1, answered("a", n=8, inputs={}, outputs=flags), answered("b", n=8))

    assert spool.collect().dropped == {"unsound": 1}
    assert spool.counts() == {"a": 8}


class KillingPredictions(PredictionTable):
    """A table whose commit dies at a fuse; before it, files were written."""

    fuse: Fuse

    def append(
        self, records: Mapping[SegmentId, Sequence[AnsweredRequest]], **others
    ) -> frozenset[SegmentId]:
        return self.fuse.around(lambda: super(KillingPredictions, self).append(records, **others))

    def _add(self, *arguments) -> None:
        self.fuse.around(lambda: super(KillingPredictions, self)._add(*arguments))


class KillingLabels(LabelTable):
    """As `KillingPredictions`."""

    fuse: Fuse

    def append(
        self, records: Mapping[SegmentId, Sequence[SentLabel]], **others
    ) -> frozenset[SegmentId]:
        return self.fuse.around(lambda: super(KillingLabels, self).append(records, **others))


def killed_collect(spool: Spool, fuse: Fuse) -> bool:
    """Whether a collection died at its fuse."""

    def with_fuse(kind: type, address: TableAddress):
        table = kind(address, MODEL)
        object.__setattr__(table, "fuse", fuse)
        return table

    try:
        collect(
            KillingBucket(spool.bucket, fuse),
            MODEL,
            with_fuse(KillingPredictions, spool.predictions.address),
            with_fuse(KillingLabels, spool.labels.address),
            now=NOW,
        )
    except Killed:
        return True
    return False


# Of each of two batches: twice of the answers, once of the labels, and of two segments.
WRITES = 2 * (2 + 1 + 2)


@pytest.mark.parametrize("before", [True, False])
@pytest.mark.parametrize("write", range(WRITES))
def test_a_collector_that_dies_at_any_write_loses_and_repeats_nothing(
    spool: Spool, write: int, before: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BATCH_BYTES", 500)
    for number in range(4):
        ship(spool.bucket, number, answered(f"{number}", n=2), sent(f"{number}"))

    assert killed_collect(spool, Fuse(write, before=before))
    spool.collect()

    assert spool.counts() == {f"{n}": 2 for n in range(4)} | {f"label of {n}": 1 for n in range(4)}
    assert spool.left() == []


def test_two_collectors_at_once_add_everything_once(
    spool: Spool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(collecting, "BATCH_BYTES", 1_500)
    for number in range(12):
        ship(spool.bucket, number, answered(f"{number}"), sent(f"{number}"))
    done: list[Collected] = []
    barrier = threading.Barrier(2)

    def work() -> None:
        barrier.wait()
        done.append(spool.collect())

    threads = [threading.Thread(target=work) for _ in range(2)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert set(spool.counts().values()) == {1}
    assert len(spool.counts()) == 24
    assert spool.left() == []
    assert sum(each.answers for each in done) == 12
    assert sum(each.labels for each in done) == 12


class Unanswering(PredictionTable):
    """A table whose commit succeeds, and whose answer is lost."""

    def append(
        self, records: Mapping[SegmentId, Sequence[AnsweredRequest]], **others
    ) -> frozenset[SegmentId]:
        super().append(records, **others)
        raise StoreUnavailable("http://store", "no answer")


def test_a_commit_whose_answer_was_lost_is_not_repeated(spool: Spool) -> None:
    ship(spool.bucket, 1, answered("a"), sent("a"))
    unanswering = Unanswering(spool.predictions.address, MODEL)

    with pytest.raises(StoreUnavailable):
        collect(spool.bucket, MODEL, unanswering, spool.labels, now=NOW)
    assert len(spool.left()) == 1

    assert spool.collect() == Collected(labels=1, segments=1)
    assert spool.counts() == {"a": 1, "label of a": 1}


# Each step of a life: a segment is shipped (perhaps again), a collector dies or works.
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("ship"), st.integers(0, 130), st.integers(0, 1)),
        st.tuples(st.just("die"), st.integers(0, 9), st.integers(0, 1)),
        st.tuples(st.just("collect"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=9,
)


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(steps=STEPS)
def test_whatever_comes_and_dies_every_segment_is_in_the_tables_once(
    steps: list[tuple[str, int, int]],
) -> None:
    with TemporaryDirectory() as folder:
        spool = Spool(Path(folder))
        expected: dict[str, int] = {}
        for what, number, flag in steps:
            if what == "ship":
                incarnation = "ab"[flag] * 32
                name = f"{number} of {incarnation[0]}"
                ship(spool.bucket, number, answered(name), sent(name), incarnation=incarnation)
                expected |= {name: 1, f"label of {name}": 1}
            elif what == "die":
                killed_collect(spool, Fuse(number, before=bool(flag)))
            else:
                spool.collect()
        spool.collect()

        assert spool.counts() == expected
        assert spool.left() == []
