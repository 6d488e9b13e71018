"""Ingest: each arrival exactly once, wherever it was cut short."""

import multiprocessing
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Reading
from overnight.models.digits.source import DigitsSource
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.schema import TensorSpec
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.ingest import HOLDOUT, ingest
from overnight.tasks.data.snapshot import read_stamped, snapshot
from tests.support.crashing_stores import ForwardingBucket, Fuse, Killed
from tests.support.letters_source import AT, DELIVERIES, Letters, LettersDataset, digest

SPAWN = multiprocessing.get_context("spawn")


@pytest.fixture
def dataset(tmp_path: Path) -> LettersDataset:
    return LettersDataset(tmp_path)


def test_an_arrival_is_ingested_without_duplicates_and_holdout_rows(
    dataset: LettersDataset,
) -> None:
    ingested = dataset.ingest()

    assert ingested == Ingested(
        arrivals=("night-0000",), rows_added=5, duplicates=1, kept_out=1, dataset_version=1
    )
    assert dataset.letters() == "abcde"
    assert dataset.holdout.digests() == {digest(letter) for letter in "xyz"}
    assert Landing(dataset.bucket, "letters").pending() == []


def test_rows_carry_their_arrival_and_position(dataset: LettersDataset) -> None:
    dataset.ingest()

    rows = dataset.rows.read().sort_by("arrival_row")
    assert rows.column("letter").to_pylist() == list("abcde")
    assert rows.column("arrival_row").to_pylist() == [0, 1, 2, 5, 6]
    assert set(rows.column("arrival").to_pylist()) == {"night-0000"}
    assert len(set(rows.column("arrived_at").to_pylist())) == 1


def test_a_bad_file_is_quarantined_and_its_arrival_not_tried_again(dataset: LettersDataset) -> None:
    dataset.ingest()

    ingested = dataset.ingest()

    assert ingested.arrivals == ("night-0001",)
    assert ingested.rows_added == 0
    assert [bad.reason for bad in ingested.quarantined] == ["a: expected letters, found !"]
    assert Landing(dataset.bucket, "letters").quarantined() == list(ingested.quarantined)
    assert dataset.rows.arrival_names() == {"night-0000", "night-0001"}


def test_rows_of_the_dataset_are_not_ingested_again(dataset: LettersDataset) -> None:
    reports = [dataset.ingest() for _ in DELIVERIES]

    assert (reports[2].rows_added, reports[2].duplicates) == (1, 1)
    assert dataset.letters() == "abcdeg"


def test_without_arrivals_nothing_changes(dataset: LettersDataset) -> None:
    for _ in DELIVERIES:
        dataset.ingest()
    version = dataset.rows.version()

    assert dataset.ingest() == Ingested(dataset_version=version)


def test_a_landed_arrival_is_ingested_before_the_next_of_the_source(
    dataset: LettersDataset,
) -> None:
    dataset.drop("by-hand", c=b"hi")

    ingested = dataset.ingest()

    assert ingested.arrivals == ("by-hand",)
    assert dataset.letters() == "hi"
    assert dataset.ingest().arrivals == ("night-0000",)


def test_without_take_next_only_landed_arrivals_are_ingested(dataset: LettersDataset) -> None:
    assert dataset.ingest(take_next=False).arrivals == ()

    dataset.drop("by-hand", c=b"hi")

    assert dataset.ingest(take_next=False).rows_added == 2


def test_a_file_lost_in_the_landing_is_reported_and_costs_the_others_nothing(
    dataset: LettersDataset,
) -> None:
    dataset.drop("by-hand", a=b"hi", b=b"jk")
    (arrival,) = Landing(dataset.bucket, "letters").pending()
    dataset.bucket.remove(arrival.key("a"))

    ingested = dataset.ingest()

    assert dataset.letters() == "jk"
    assert [bad.file for bad in ingested.quarantined] == ["a"]


def test_an_ingested_arrival_is_only_cleared(dataset: LettersDataset) -> None:
    dataset.ingest()
    Landing(dataset.bucket, "letters").land("night-0000", DELIVERIES[0], by="again", at=AT)

    ingested = dataset.ingest(take_next=False)

    assert ingested == Ingested(dataset_version=1, skipped=("night-0000",))
    assert dataset.bucket.keys_below("landing/letters") == []


@pytest.mark.parametrize("moment", ["before", "after"])
def test_killed_at_any_write_and_run_again_every_row_is_there_once(
    tmp_path: Path, moment: str
) -> None:
    for writes in range(100):
        dataset = LettersDataset(
            tmp_path / str(writes), source=Letters({"a": b"abx", "b": b"c!", "c": b"bd"})
        )
        try:
            dataset.ingest(fuse=Fuse(writes, before=moment == "before"))
        except Killed:
            dataset.ingest()
            assert dataset.letters() == "abd"
            assert dataset.rows.arrival_names() == {"night-0000"}
            assert dataset.holdout.read().num_rows == 3
            assert Landing(dataset.bucket, "letters").pending() == []
            assert [bad.file for bad in Landing(dataset.bucket, "letters").quarantined()] == ["b"]
        else:
            break
    # Holdout, three files and their arrival, quarantine and reason, rows, and four removals.
    assert writes == 12


@pytest.mark.servers
def test_killed_by_the_system_at_any_moment_every_digit_is_there_once(
    s3_bucket: S3Bucket, digits_folder: Path
) -> None:
    rows = Dataset.on_s3(s3_bucket.address, "digits", "rows")
    holdout = Dataset.on_s3(s3_bucket.address, "digits", HOLDOUT)
    stages = ["holdout", "landed", "committed"]

    for stage in stages:
        process = SPAWN.Process(target=_digits, args=(s3_bucket.address, digits_folder, stage))
        process.start()
        process.join(120)
        assert process.exitcode == -signal.SIGKILL
    _digits(s3_bucket.address, digits_folder, "nothing")

    assert rows.arrival_names() == {"night-0000"}
    assert len(rows.digests()) == rows.read(columns=["digest"]).num_rows == 50_000
    assert holdout.read(columns=["digest"]).num_rows == 10_000
    assert s3_bucket.keys_below("landing/digits") == []


def _digits(address: S3Address, folder: Path, kill_after: str) -> None:
    """Ingest in a process of its own, which ends by SIGKILL once a stage is reached."""
    from overnight.models.definition import Places

    def die(stage: str) -> None:
        if stage == kill_after:
            os.kill(os.getpid(), signal.SIGKILL)

    class Bucket(S3Bucket):
        def create(self, key: str, body: bytes) -> None:
            super().create(key, body)
            if key.endswith("arrival.json"):
                die("landed")

    class Table(Dataset):
        def append(
            self, rows: pa.Table, arrival: str, details: Mapping[str, str] | None = None
        ) -> int:
            version = super().append(rows, arrival, details)
            die("holdout")
            return version

        def append_batches(
            self,
            schema: pa.Schema,
            batches: Iterator[pa.RecordBatch],
            arrival: str,
            details: Mapping[str, str] | None = None,
        ) -> int:
            version = super().append_batches(schema, batches, arrival, details)
            die("committed")
            return version

    ingest(
        DigitsSource(Places(folder=folder, cache=folder)),
        Bucket(address),
        Table.on_s3(address, "digits", "rows"),
        Table.on_s3(address, "digits", HOLDOUT),
        model="digits",
        take_next=True,
    )


@pytest.mark.servers
def test_two_ingests_at_once_add_each_arrival_once(tmp_path: Path) -> None:
    dataset = LettersDataset(tmp_path)
    go = SPAWN.Barrier(2)
    processes = [SPAWN.Process(target=_first_night, args=(tmp_path, go)) for _ in range(2)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(120)

    assert [process.exitcode for process in processes] == [0, 0]
    assert dataset.letters() == "abcde"
    assert dataset.rows.arrival_names() == {"night-0000"}


def _first_night(folder: Path, go) -> None:
    """The first night, from a landing of this process's own into the shared tables."""
    dataset = LettersDataset(folder, source=Letters(DELIVERIES[0]))
    go.wait()
    dataset.ingest()


def test_an_arrival_that_is_not_as_declared_is_refused_and_the_next_is_ingested(
    dataset: LettersDataset,
) -> None:
    dataset.ingest()
    declared = DataGates(columns=(Column(TensorSpec(name="letter", datatype="INT8", shape=())),))
    dataset.drop("by-hand", a=b"hi", b=b"jk")

    ingested = dataset.ingest(gates=declared)

    assert (ingested.arrivals, ingested.rows_added) == (("by-hand",), 0)
    assert [bad.file for bad in ingested.quarantined] == ["a", "b"]
    (finding,) = ingested.findings
    assert (finding.gate, finding.metric, finding.slice) == ("column type", "letter", "by-hand")
    assert "by-hand is refused: letter: expected INT8, found string" in (
        ingested.quarantined[0].reason
    )
    assert dataset.letters() == "abcde"
    assert "by-hand" in dataset.rows.arrival_names()
    assert dataset.ingest(take_next=False, gates=declared).arrivals == ()
    assert dataset.ingest().arrivals == ("night-0001",)


def test_a_refused_first_arrival_creates_no_table(dataset: LettersDataset) -> None:
    declared = DataGates(columns=(Column(TensorSpec(name="letter", datatype="INT8", shape=())),))

    ingested = dataset.ingest(gates=declared)

    assert ingested.findings
    assert dataset.rows.version() is None
    assert dataset.ingest().rows_added == 5


@pytest.mark.parametrize(
    ("repeated", "refused"), [(49, False), (50, False), (51, True), (100, True)]
)
def test_an_arrival_of_repeated_rows_is_refused(
    dataset: LettersDataset, repeated: int, refused: bool
) -> None:
    letters = "".join(chr(0x4E00 + n) for n in range(100 - repeated)) + "a" * repeated
    dataset.drop("by-hand", a=letters.encode())

    ingested = dataset.ingest(gates=DataGates(repeated_share=0.49))

    assert bool(ingested.findings) is refused
    assert (ingested.rows_added == 0) is refused


def test_whatever_a_source_raises_refuses_its_arrival_and_the_others_come_in(
    dataset: LettersDataset,
) -> None:
    dataset.ingest()
    dataset.drop("broken", a=b"hi?")
    dataset.drop("good", a=b"jk")

    ingested = dataset.ingest()

    assert (ingested.arrivals, ingested.rows_added) == (("broken", "good"), 2)
    (bad,) = ingested.quarantined
    assert bad.reason == (
        "a: broken is refused: its files cannot be read: KeyError: "
        "'Field \"letter\" exists 2 times in schema'"
    )
    assert Landing(dataset.bucket, "letters").pending() == []
    assert "broken" in dataset.rows.arrival_names()


def test_after_a_first_arrival_that_is_refused_the_second_comes_in(tmp_path: Path) -> None:
    dataset = LettersDataset(tmp_path, source=Letters({"a": b"?"}, {"a": b"bc"}))

    first, second = dataset.ingest(), dataset.ingest()

    assert (first.dataset_version, first.rows_added) == (None, 0)
    assert (second.arrivals, second.rows_added) == (("night-0000", "night-0001"), 2)


def test_an_arrival_without_rows_makes_no_dataset_to_learn_from(tmp_path: Path) -> None:
    dataset = LettersDataset(tmp_path, source=Letters({"a": b""}, {"a": b"bc"}))

    assert dataset.ingest().dataset_version is None
    assert dataset.ingest().rows_added == 2


class Gaps(Letters):
    """A source that declares a column without gaps, and has one."""

    def read(self, files: Mapping[str, bytes]) -> Reading:
        rows = super().read(files).rows
        schema = pa.schema([pa.field("letter", pa.string(), nullable=False), rows.schema.field(1)])
        letters = [letter if letter != "_" else None for letter in rows["letter"].to_pylist()]
        columns = [pa.array(letters, pa.string()), rows["digest"].combine_chunks()]
        return Reading(pa.Table.from_arrays(columns, schema=schema))


def test_a_gap_in_a_column_that_may_have_none_refuses_its_arrival(tmp_path: Path) -> None:
    dataset = LettersDataset(tmp_path, source=Gaps({"a": b"ab"}, {"a": b"c_"}))
    dataset.ingest()

    ingested = dataset.ingest()

    assert "1 values of letter are missing, and none may be" in ingested.findings[0].message
    assert dataset.letters() == "ab"


def test_an_excluded_arrival_of_the_landing_is_quarantined_unread(dataset: LettersDataset) -> None:
    dataset.ingest()
    dataset.drop("by-hand", a=b"hi?")
    ArrivalReviews(dataset.bucket, "letters").decide("by-hand", "excluded", Actor("ann", "by far"))

    ingested = dataset.ingest(take_next=False)

    (bad,) = ingested.quarantined
    assert bad.reason == "a: by-hand is refused: excluded by ann: by far"
    assert ingested.rows_added == 0
    assert Landing(dataset.bucket, "letters").pending() == []


class LitteredBucket(ForwardingBucket):
    """A bucket in which somebody keeps a report among the arrivals."""

    def names_below(self, prefix: str) -> list[str]:
        names = super().names_below(prefix)
        return [*names, "Report (1).csv"] if prefix.startswith("landing/letters/2") else names


def test_a_stray_name_in_the_landing_is_reported_and_the_arrivals_come_in(
    dataset: LettersDataset,
) -> None:
    dataset.drop("by-hand", a=b"hi")
    dataset.bucket = LitteredBucket(dataset.bucket)

    ingested = dataset.ingest()

    assert ingested.rows_added == 2
    (notice,) = ingested.notices
    assert notice.startswith("landing/letters/2026-11-22/Report (1).csv is left alone: ")


def test_an_arrival_without_new_rows_is_reported(dataset: LettersDataset) -> None:
    dataset.ingest()
    dataset.drop("again", a=b"abcx")
    dataset.drop("bad", a=b"!")

    again, bad = dataset.ingest().findings

    assert (again.slice, bad.slice) == ("again", "bad")
    assert "none of 4 rows was added: 3 are in the dataset already" in again.message
    assert "1 are in the holdout" in again.message
    assert "1 files were rejected" in bad.message


def test_rows_of_an_excluded_arrival_may_arrive_again(dataset: LettersDataset) -> None:
    dataset.drop("by-hand", a=b"hi")
    dataset.ingest()
    ArrivalReviews(dataset.bucket, "letters").decide(
        "by-hand", "excluded", Actor("ann", "mislabelled")
    )

    dataset.drop("put-right", a=b"hi")

    assert dataset.ingest().rows_added == 2


def test_rows_of_a_parked_arrival_may_arrive_again_and_are_learned_once_it_is_excluded(
    dataset: LettersDataset,
) -> None:
    dataset.drop("by-hand", a=b"hi")
    dataset.ingest()
    ArrivalReviews(dataset.bucket, "letters").park("by-hand", [], compared_with=None)
    dataset.drop("put-right", a=b"hij")

    assert dataset.ingest().rows_added == 3

    before, after = (
        snapshot(dataset.rows, dataset.holdout, without=without) for without in ((), ("by-hand",))
    )
    assert (before.rows, after.rows) == (3, 3)
    arrived = [
        set(read_stamped(dataset.rows, item).column("arrival").to_pylist())
        for item in (before, after)
    ]
    assert arrived == [{"by-hand", "put-right"}, {"put-right"}]


def test_an_arrival_refused_before_is_skipped_and_reported_after_its_gate_was_corrected(
    dataset: LettersDataset,
) -> None:
    dataset.ingest()
    declared = DataGates(columns=(Column(TensorSpec(name="letter", datatype="INT8", shape=())),))
    dataset.drop("by-hand", a=b"hi")
    dataset.ingest(gates=declared)

    dataset.drop("by-hand", a=b"hi")
    again = dataset.ingest()
    dataset.drop("by-hand-renamed", b=b"hi")

    assert (again.arrivals, again.skipped) == ((), ("by-hand",))
    assert dataset.ingest().rows_added == 2


LABELLED = "feedback-2026-11-22-00000001"


def test_labelled_rows_do_not_keep_the_next_delivery_waiting(dataset: LettersDataset) -> None:
    dataset.ingest()
    dataset.ingest()
    # A letter of the holdout, one that is known, and a new one.
    dataset.drop(LABELLED, labels=b"xaq")

    ingested = dataset.ingest()

    assert ingested.arrivals == ("night-0002", LABELLED)
    assert (ingested.rows_added, ingested.kept_out) == (2, 1)
    assert dataset.letters() == "abcdegq"


def test_parked_labels_stay_in_the_landing_until_a_person_decides(dataset: LettersDataset) -> None:
    dataset.ingest()
    doubtful = f"{LABELLED}-doubtful"
    reviews = ArrivalReviews(dataset.bucket, "letters")
    reviews.park(doubtful, (), compared_with=None)
    dataset.drop(doubtful, labels=b"pq")

    ingested = dataset.ingest(take_next=False)

    assert (ingested.arrivals, ingested.held) == ((), (doubtful,))
    assert any("overnight accept" in notice for notice in ingested.notices)
    reviews.decide(doubtful, "accepted", Actor("ann", "she knows them"))
    assert dataset.ingest(take_next=False).arrivals == (doubtful,)
    assert dataset.letters() == "abcdepq"


def test_parked_labels_that_a_person_excludes_are_never_read(dataset: LettersDataset) -> None:
    dataset.ingest()
    doubtful = f"{LABELLED}-doubtful"
    reviews = ArrivalReviews(dataset.bucket, "letters")
    reviews.park(doubtful, (), compared_with=None)
    dataset.drop(doubtful, labels=b"pq")
    reviews.decide(doubtful, "excluded", Actor("ann", "nonsense"))

    ingested = dataset.ingest(take_next=False)

    assert (ingested.held, dataset.letters()) == ((), "abcde")
    assert Landing(dataset.bucket, "letters").pending() == []
