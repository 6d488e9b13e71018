"""Tables of predictions and labels: every segment once, columns that grow, rows that really go."""

import datetime as dt
import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable

from overnight.store.datasets.table_errors import LostRaceError
from overnight.store.errors import (
    ConfigurationError,
    CorruptTable,
    StoreUnavailable,
    Unrecorded,
)
from overnight.store.novelty import UNLIKE_TRAINING
from overnight.store.predictions.committed_segments import SegmentId
from overnight.store.predictions.deletion import ClientRows, count_client, delete_client
from overnight.store.predictions.records import client_digest
from overnight.store.predictions.tables import LabelTable, PredictionTable, arrays_of, recorded
from overnight.store.schema import TensorSpec
from tests.support.prediction_log import NOON, answered, segment, sent

DAY = dt.timedelta(days=1)


@pytest.fixture(params=["folder", pytest.param("s3", marks=pytest.mark.servers)])
def tables(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[tuple[PredictionTable, LabelTable]]:
    if request.param == "folder":
        yield (
            PredictionTable.in_folder(tmp_path, "digits"),
            LabelTable.in_folder(tmp_path, "digits"),
        )
    else:
        address = request.getfixturevalue("s3_bucket").address
        yield PredictionTable.on_s3(address, "digits"), LabelTable.on_s3(address, "digits")


@pytest.fixture
def predictions(tmp_path: Path) -> PredictionTable:
    return PredictionTable.in_folder(tmp_path, "digits")


def requests(table: PredictionTable | LabelTable) -> list[str]:
    return sorted(table.read(columns=["request"]).column("request").to_pylist())


def files(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.parquet"))


def test_a_table_that_was_never_written_reads_as_empty(predictions: PredictionTable) -> None:
    assert len(predictions.read()) == 0
    assert predictions.read(columns=["day", "request"]).column_names == ["day", "request"]
    assert len(predictions.newest(5)) == 0
    assert list(predictions.batches()) == []
    assert predictions.days() == {}
    assert predictions.has([segment(1)]) == frozenset()
    assert predictions.expire(1) == 0
    assert predictions.delete_client("bob") == 0


def test_records_are_read_back_as_they_were(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    predictions, labels = tables
    pixels = np.arange(2 * 28 * 28, dtype=np.uint8).reshape(2, 28, 28)
    record = answered(
        "r1", n=2, client="bob", caller="mine", inputs={"image": pixels}, latency_us=2**40
    )

    predictions.append({segment(1): [record]})
    labels.append({segment(1): [sent("r1", client="eve", authenticated=True)]})

    rows = predictions.newest(10)
    assert rows.column("row").to_pylist() == [0, 1]
    assert rows.column("at").to_pylist() == [NOON, NOON]
    assert rows.column("day").to_pylist() == [NOON.date()] * 2
    assert rows.column("caller").to_pylist() == ["mine"] * 2
    assert rows.column("latency_us").to_pylist() == [2**31 - 1] * 2
    spec = TensorSpec(name="image", datatype="UINT8", shape=(28, 28))
    np.testing.assert_array_equal(arrays_of(rows, [spec], "input")["image"], pixels)
    (label,) = labels.read().to_pylist()
    assert json.loads(label["truth"]) == {"digit": "seven"}
    assert (label["client"], label["authenticated"], label["day"]) == ("eve", True, NOON.date())


def test_a_segment_comes_into_a_table_once_in_any_order_and_with_any_gaps(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    predictions, _ = tables
    other = segment(7, "b" * 32)

    assert predictions.append({segment(200): [answered("late")], segment(7): [answered("a")]}) == {
        segment(200),
        segment(7),
    }
    assert predictions.append({segment(7): [answered("a")], segment(3): [answered("b")]}) == {
        segment(3)
    }
    assert predictions.append({segment(3): [answered("b")]}) == frozenset()
    assert predictions.append({other: [answered("c")]}) == {other}

    assert requests(predictions) == ["a", "b", "c", "late"]
    some = [segment(number) for number in (2, 3, 4, 7, 199, 200)]
    assert predictions.has([*some, other]) == {segment(3), segment(7), segment(200), other}


def test_every_number_of_a_block_is_told_from_the_others(predictions: PredictionTable) -> None:
    evens = range(0, 130, 2)
    predictions.append({segment(number): [answered(f"{number}")] for number in evens})

    every = [segment(number) for number in range(131)]
    assert predictions.has(every) == {segment(number) for number in evens}


def test_segments_stay_known_when_the_log_is_cleared(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    predictions.append({segment(1): [answered("a")]})
    table = DeltaTable(predictions.address.uri)
    table.alter.set_table_properties({"delta.logRetentionDuration": "interval 0 days"})
    predictions.append({segment(2): [answered("b")]})

    predictions.vacuum()

    assert not list(tmp_path.rglob("00000000000000000001.json"))
    assert predictions.has([segment(1), segment(2)]) == {segment(1), segment(2)}
    assert predictions.append({segment(1): [answered("a")]}) == frozenset()


class Interrupted(PredictionTable):
    """A table at which something happens between looking at it and writing to it, once."""

    def interrupt(self, *, before=None, after: Exception | None = None) -> "Interrupted":
        object.__setattr__(self, "_before", before)
        object.__setattr__(self, "_after", after)
        return self

    def _add(self, *arguments) -> None:
        before, after = self._before, self._after
        self.interrupt()
        if before:
            before()
        super()._add(*arguments)
        if after:
            raise after


def test_another_writer_may_add_some_of_the_segments_meanwhile(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    ours = Interrupted.in_folder(tmp_path, "digits")
    ours.interrupt(before=lambda: predictions.append({segment(2): [answered("b")]}))

    added = ours.append({segment(1): [answered("a")], segment(2): [answered("b")]})

    assert added == {segment(1)}
    assert requests(predictions) == ["a", "b"]


def test_the_answer_to_a_commit_may_be_lost(tmp_path: Path, predictions: PredictionTable) -> None:
    ours = Interrupted.in_folder(tmp_path, "digits")
    ours.interrupt(after=LostRaceError("store", "conflict with itself"))

    assert ours.append({segment(1): [answered("a")]}) == {segment(1)}
    assert requests(predictions) == ["a"]

    ours.interrupt(after=StoreUnavailable("store", "no answer"))
    with pytest.raises(StoreUnavailable):
        ours.append({segment(2): [answered("b")]})
    assert ours.append({segment(2): [answered("b")]}) == frozenset()
    assert requests(predictions) == ["a", "b"]


def test_many_writers_at_once_add_every_segment_once(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    added: list[SegmentId] = []

    def write(first: int) -> None:
        own = PredictionTable.in_folder(tmp_path, "digits")
        for number in range(first, first + 3):
            added.extend(own.append({segment(number): [answered(f"{number}")]}))

    threads = [threading.Thread(target=write, args=(first,)) for first in (0, 0, 1)]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert requests(predictions) == ["0", "1", "2", "3"]
    assert sorted(added) == [segment(number) for number in range(4)]


def test_a_period_has_the_rows_from_its_start_to_before_its_end(
    predictions: PredictionTable,
) -> None:
    moments = {"before": -DAY, "start": 0 * DAY, "within": DAY / 2, "end": DAY}
    records = [answered(name, at=NOON + offset) for name, offset in moments.items()]
    predictions.append({segment(1): records})

    read = predictions.read(NOON, NOON + DAY, ["request"])
    assert sorted(read.column("request").to_pylist()) == ["start", "within"]
    batches = pa.Table.from_batches(predictions.batches(until=NOON, columns=["request"]))
    assert batches.column("request").to_pylist() == ["before"]
    in_another_zone = (NOON + DAY).astimezone(dt.timezone(dt.timedelta(hours=14)))
    assert predictions.read(since=in_another_zone).column("request").to_pylist() == ["end"]


def test_the_newest_rows_are_the_newest_over_days(predictions: PredictionTable) -> None:
    offsets = {"a": -2 * DAY, "b": -DAY, "c": -DAY / 4, "d": 0 * DAY}
    predictions.append(
        {segment(1): [answered(name, at=NOON + offset) for name, offset in offsets.items()]}
    )

    assert predictions.newest(3).column("request").to_pylist() == ["d", "c", "b"]
    assert predictions.newest(9, since=NOON - DAY).column("request").to_pylist() == ["d", "c", "b"]
    assert len(predictions.newest(9, since=NOON + DAY)) == 0


def test_wider_values_widen_a_column(predictions: PredictionTable) -> None:
    small = {"n": np.array([7], np.uint8), "xs": np.ones((1, 3), np.int8)}
    wide = {"n": np.array([70_000], np.int32), "xs": np.full((1, 3), 0.5, np.float32)}
    predictions.append({segment(1): [answered("a", inputs=small), answered("old", at=NOON - DAY)]})

    predictions.append({segment(2): [answered("b", inputs=wide)]})

    schema = predictions.read().schema
    assert schema.field("input.n").type == pa.int32()
    assert schema.field("input.xs").type == pa.list_(pa.float32())
    by_request = {row["request"]: row for row in predictions.read().to_pylist()}
    assert by_request["a"]["input.xs"] == [1, 1, 1]
    assert by_request["b"]["input.n"] == 70_000
    assert predictions.days() == {(NOON - DAY).date(): 1, NOON.date(): 2}


@pytest.mark.parametrize(
    ("first", "second", "column"),
    [
        (np.array([3], np.int32), np.array(["lyon"], object), "input.v@text"),
        (np.array(["lyon"], object), np.array([3], np.int32), "input.v@number"),
        (np.array([3], np.int32), np.ones((1, 2), np.int32), "input.v@number-list"),
        (np.array([2**60], np.int64), np.array([0.5], np.float64), "input.v@number"),
        (np.array([0.5], np.float64), np.array([2**60 + 1], np.int64), "input.v@whole"),
        (np.array([True]), np.array([1], np.int32), "input.v@number"),
    ],
)
def test_values_of_another_kind_get_a_column_of_their_own(
    predictions: PredictionTable, first: np.ndarray, second: np.ndarray, column: str
) -> None:
    predictions.append({segment(1): [answered("a", inputs={"v": first})]})
    predictions.append({segment(2): [answered("b", inputs={"v": second})]})
    predictions.append({segment(3): [answered("c", inputs={"v": first})]})

    rows = {row["request"]: row for row in predictions.read().to_pylist()}
    assert rows["b"][column] == second.tolist()[0]
    assert rows["b"]["input.v"] is None
    assert [rows[each]["input.v"] for each in "ac"] == [first.tolist()[0]] * 2
    assert rows["c"][column] is None


def test_tensors_whose_names_differ_by_case_have_columns_of_their_own(
    predictions: PredictionTable,
) -> None:
    inputs = {"Age": np.array([1], np.int32), "age": np.array([2], np.int32)}
    predictions.append({segment(1): [answered("a", inputs=inputs)]})
    predictions.append({segment(2): [answered("b", inputs=inputs)]})

    for row in predictions.read().to_pylist():
        assert (row["input.Age"], row["input.age@number"]) == (1, 2)


def test_flags_come_into_a_table_that_began_without_them(predictions: PredictionTable) -> None:
    predictions.append({segment(1): [answered("before")]})
    outputs = {"p": np.full(2, 0.5, np.float32), UNLIKE_TRAINING: np.array([False, True])}
    predictions.append({segment(2): [answered("flagged", n=2, outputs=outputs)]})
    predictions.append({segment(3): [answered("familiar")]})

    rows = predictions.read(columns=["request", "row", UNLIKE_TRAINING]).to_pylist()

    assert sorted(tuple(row.values()) for row in rows if row[UNLIKE_TRAINING] is not None) == [
        ("flagged", 0, False),
        ("flagged", 1, True),
    ]
    assert len(rows) == 4
    assert f"output.{UNLIKE_TRAINING}" not in predictions.read().column_names


def test_whole_numbers_of_64_bits_take_narrower_ones(predictions: PredictionTable) -> None:
    for number, kind in enumerate((np.int32, np.int64, np.uint8)):
        record = answered(f"{number}", inputs={"v": np.array([number], kind)})
        predictions.append({segment(number): [record]})

    rows = predictions.read()
    assert rows.schema.field("input.v").type == pa.int64()
    assert sorted(rows.column("input.v").to_pylist()) == [0, 1, 2]


def test_texts_gaps_and_rows_of_varying_length_come_back(predictions: PredictionTable) -> None:
    lists = np.empty(2, object)
    lists[0], lists[1] = np.array([1.5], np.float32), np.array([2.5, 3.5], np.float32)
    inputs = {"town": np.array(["lyon", None], object), "steps": lists}
    predictions.append({segment(1): [answered("a", n=2, inputs=inputs)]})

    rows = predictions.newest(2)
    steps = TensorSpec(name="steps", datatype="FP32", shape=(4,), lengths=(2, 4))
    array = arrays_of(rows, [steps], "input")["steps"]
    assert [each.tolist() for each in array] == [[1.5], [2.5, 3.5]]
    assert rows.column("input.town").to_pylist() == ["lyon", None]


def test_half_a_surrogate_pair_harms_no_other_record(predictions: PredictionTable) -> None:
    odd = answered("a", caller="\ud800", inputs={"t": np.array(["\udfff"], object)})

    predictions.append({segment(1): [odd, answered("b", inputs={"t": np.array(["x"], object)})]})

    rows = {row["request"]: row for row in predictions.read().to_pylist()}
    assert (rows["a"]["caller"], rows["a"]["input.t"], rows["b"]["input.t"]) == ("?", "?", "x")


def test_arrays_have_the_declared_type_whatever_the_column_became(
    predictions: PredictionTable,
) -> None:
    predictions.append(
        {segment(1): [answered("a", at=NOON, inputs={"v": np.array([3], np.uint8)})]}
    )
    later = answered("b", at=NOON + DAY, inputs={"v": np.array([0.5], np.float32)})
    predictions.append({segment(2): [later]})

    rows = predictions.read(until=NOON + DAY)
    array = arrays_of(rows, [TensorSpec(name="v", datatype="UINT8", shape=())], "input")["v"]
    assert (array.dtype, array.tolist()) == (np.uint8, [3])


def test_rows_without_a_tensor_are_told_and_refused(predictions: PredictionTable) -> None:
    predictions.append({segment(1): [answered("a"), answered("b", inputs={}, digest="0f")]})
    rows = predictions.newest(2)
    spec = TensorSpec(name="x", datatype="FP32", shape=(2,))

    assert recorded(rows, [spec], "input").tolist() == [True, False]
    with pytest.raises(Unrecorded, match=r"input\.x: 1 of 2 rows have no value"):
        arrays_of(rows, [spec], "input")
    with pytest.raises(Unrecorded, match=r"other shapes than \[3\]"):
        arrays_of(rows[:1], [TensorSpec(name="x", datatype="FP32", shape=(3,))], "input")
    assert arrays_of(rows[:0], [spec], "input")["x"].shape == (0, 2)


def test_a_tensor_that_came_later_has_its_default_in_older_rows(
    predictions: PredictionTable,
) -> None:
    predictions.append({segment(1): [answered("a"), answered("b", inputs={})]})
    rows = predictions.newest(2)
    came_later = TensorSpec(name="sun", datatype="FP32", shape=(), default=4.0)
    specs = [TensorSpec(name="x", datatype="FP32", shape=(2,)), came_later]

    assert recorded(rows, specs, "input").tolist() == [True, False]
    assert arrays_of(rows[:1], specs, "input")["sun"].tolist() == [4.0]


def test_old_days_are_deleted_with_their_files(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    for table, record in zip(tables, (answered, sent), strict=True):
        table.append({segment(day): [record(f"{day}", at=NOON - day * DAY)] for day in range(5)})

        assert table.expire(2, now=NOON) == 2
        assert table.expire(2, now=NOON) == 0

        assert requests(table) == ["0", "1", "2"]
        assert min(table.days()) == (NOON - 2 * DAY).date()


def test_deleted_rows_are_in_no_file_and_in_no_log(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    secret = answered("gone", client="bob", inputs={"t": np.array(["a secret"], object)})
    predictions.append({segment(1): [secret, answered("stays", client="eve")]})
    predictions.append({segment(2): [answered("old", at=NOON - 9 * DAY, client="old client")]})

    assert predictions.delete_client("bob") == 1
    predictions.expire(3, now=NOON)

    assert len(files(tmp_path)) - len(list(tmp_path.rglob("*.checkpoint.parquet"))) == 1
    (kept,) = [each for each in files(tmp_path) if "_delta_log" not in str(each)]
    assert pq.read_table(kept).column("request").to_pylist() == ["stays"]
    for file in tmp_path.rglob("*"):
        if file.is_file():
            for word in (b"bob", b"a secret", b"old client", b"gone"):
                assert word not in file.read_bytes(), file


def test_a_client_is_deleted_by_key_and_by_digest_with_all_labels_of_its_answers(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    predictions, labels = tables
    names = {
        "by-key": "bob",
        "by-digest": client_digest("digits", "bob"),
        "of-eve": "eve",
        "nobody": "",
    }
    predictions.append(
        {
            segment(number): [answered(request, client=client, n=2, at=NOON - number * DAY)]
            for number, (request, client) in enumerate(names.items())
        }
    )
    labels.append(
        {
            segment(1): [sent("by-key", client="eve"), sent("of-eve", client="eve")],
            segment(2): [sent("of-eve", client="bob"), sent("nobody")],
        }
    )

    assert count_client(predictions, labels, "bob") == ClientRows(answers=4, labels=2)
    assert requests(labels) == ["by-key", "nobody", "of-eve", "of-eve"]
    assert delete_client(predictions, labels, "bob") == ClientRows(answers=4, labels=2)

    assert set(requests(predictions)) == {"of-eve", "nobody"}
    assert requests(labels) == ["nobody", "of-eve"]
    assert delete_client(predictions, labels, "bob") == ClientRows(answers=0, labels=0)


@pytest.mark.parametrize(("order", "deleted"), [(("bob", "eve"), (3, 1)), (("eve", "bob"), (2, 2))])
def test_labels_by_the_id_of_a_caller_go_with_the_answer_that_has_it(
    tables: tuple[PredictionTable, LabelTable], order: tuple[str, str], deleted: tuple[int, int]
) -> None:
    predictions, labels = tables
    predictions.append(
        {
            segment(1): [
                answered("r1", client="bob", caller="of-bob"),
                answered("r2", client="eve", caller="of-eve"),
                answered("r3", client="bob", caller="of-both"),
                answered("r4", client="eve", caller="of-both"),
                # Most requests have no id of their caller.
                answered("r5", client="bob"),
                answered("r6", client="ann", caller="of-ann"),
                answered("r7"),
            ]
        }
    )
    by_caller = [sent("", caller=f"of-{name}") for name in ("bob", "eve", "both", "ann")]
    labels.append({segment(1): [*by_caller, sent("r5"), sent("r6"), sent("r7")]})

    # The label that may be of both goes with the first.
    for client, labels_of_it in zip(order, deleted, strict=True):
        assert count_client(predictions, labels, client).labels == labels_of_it
        assert delete_client(predictions, labels, client).labels == labels_of_it
    rest = labels.read().select(["request", "caller"]).to_pylist()
    assert sorted((each["request"], each["caller"]) for each in rest) == [
        ("", "of-ann"),
        ("r6", ""),
        ("r7", ""),
    ]


def test_rows_without_a_client_are_not_deleted_as_those_of_one(
    predictions: PredictionTable,
) -> None:
    predictions.append({segment(1): [answered("a")]})

    with pytest.raises(ConfigurationError, match="empty"):
        predictions.delete_client("")
    assert requests(predictions) == ["a"]


def test_rows_that_come_during_a_deletion_stay(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    predictions.append({segment(1): [answered("a", client="bob"), answered("b")]})
    other = PredictionTable.in_folder(tmp_path, "digits")
    asked = []

    def chosen(rows: pa.RecordBatch) -> pa.Array:
        if not asked:
            asked.append(other.append({segment(2): [answered("c")]}))
        return pa.array([client == "bob" for client in rows.column("client").to_pylist()])

    assert predictions.delete_where(["client"], chosen) == 1
    assert requests(predictions) == ["b", "c"]


def test_two_deletions_of_one_day_leave_neither_client(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    names = ("bob", "eve", "stays")
    predictions.append({segment(1): [answered(each, client=each) for each in names]})
    threads = [
        threading.Thread(
            target=PredictionTable.in_folder(tmp_path, "digits").delete_client, args=(each,)
        )
        for each in ("bob", "eve")
    ]
    for each in threads:
        each.start()
    for each in threads:
        each.join()

    assert requests(predictions) == ["stays"]


def test_what_a_dead_writer_left_is_removed_after_a_day(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    predictions.append({segment(1): [answered("a")]})
    (used,) = [each for each in files(tmp_path) if "_delta_log" not in str(each)]
    left = used.with_name("part-00000-left.parquet")
    left.write_bytes(used.read_bytes())

    predictions.vacuum()
    assert left.exists()

    two_days_ago = dt.datetime.now(dt.UTC).timestamp() - 2 * 86_400
    os.utime(left, (two_days_ago, two_days_ago))
    predictions.vacuum()
    assert not left.exists()
    assert used.exists()


def test_a_read_during_a_deletion_begins_again(
    tmp_path: Path, predictions: PredictionTable
) -> None:
    predictions.append({segment(1): [answered("a", client="bob"), answered("b")]})

    class Slow(PredictionTable):
        def _reading(self, read):
            def late(table: DeltaTable) -> object:
                predictions.delete_client("bob")
                return read(table)

            return super()._reading(late)

    rows = Slow.in_folder(tmp_path, "digits").read()
    assert rows.column("request").to_pylist() == ["b"]


def test_a_file_that_is_lost_is_damage(tmp_path: Path, predictions: PredictionTable) -> None:
    predictions.append({segment(1): [answered("a")]})
    for file in files(tmp_path):
        file.unlink()

    with pytest.raises(CorruptTable):
        predictions.read()
