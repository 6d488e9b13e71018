"""A holdout that moves: the newest days judge, whatever came late, twice or not at all."""

from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pytest

from overnight.models.definition import Places
from overnight.models.sales import DEFINITION
from overnight.models.sales.series import HELD_DAYS
from overnight.models.sales.source import SalesSource
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data.admission import Ingested
from overnight.tasks.data.ingest import ingest
from overnight.tasks.data.leakage import check_kept_out, check_unseen, learned_holdout_rows
from overnight.tasks.data.snapshot import Snapshot, read_rows, read_stamped, snapshot, split_holdout
from overnight.tasks.data.validate import validate
from overnight.tasks.evaluation.reproduce import recorded_snapshot
from tests.support.examples import manifest
from tests.support.genuine_sales import STORES, arriving, day, parquet, rows

AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)
HISTORY, LAST = "2017-04-30", "2017-05-20"
FEW = STORES[:2]
EMPTY = 5


class Shop:
    """A dataset of sales in a folder, and a landing into which its nights are dropped."""

    def __init__(self, folder: Path) -> None:
        self.bucket = MemoryBucket()
        self.rows = Dataset.in_folder(folder, "sales", "rows")
        self.holdout = Dataset.in_folder(folder, "sales", "holdout")

    def arrive(self, name: str, **files: pa.Table) -> Ingested:
        bodies = {f"{file}.parquet": parquet(table) for file, table in files.items()}
        Landing(self.bucket, "sales").land(name, bodies, by="test", at=AT)
        return ingest(
            SalesSource(Places(folder=None, cache=Path("unused"))),
            self.bucket,
            self.rows,
            self.holdout,
            model="sales",
            take_next=False,
            gates=DEFINITION.data_gates,
        )

    def snapshot(self, **requested: object) -> Snapshot:
        return snapshot(self.rows, self.holdout, held_days=HELD_DAYS, **requested)  # type: ignore[arg-type]


def arrivals(first: str, last: str) -> list[str]:
    return [str(np.datetime64(arrival, "D")) for arrival in range(day(first), day(last) + 1)]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    """Twenty nights, with late baskets, an empty one, and some sent again."""
    result = Shop(tmp_path_factory.mktemp("shop"))
    result.arrive("history", all=arriving("2017-01-01", HISTORY, stores=FEW))
    since, yesterday = None, None
    for number, arrival in enumerate(arrivals("2017-05-01", LAST)):
        tonight = arriving(since or arrival, arrival, stores=FEW)
        if number == EMPTY:
            result.arrive(f"day-{arrival}", none=tonight.slice(0, 0))
            since = arrival
            continue
        again = {"yesterday": yesterday} if yesterday is not None and number % 4 == 3 else {}
        result.arrive(f"day-{arrival}", tonight=tonight, **again)
        if number % 7 == 2:
            result.arrive(f"day-{arrival}-again", tonight=tonight)
        if number % 7 == 3:
            result.arrive(f"day-{arrival}", tonight=tonight)
        yesterday, since = tonight, None
    return result


def test_late_repeated_and_empty_arrivals_leave_exactly_the_right_rows(shop: Shop) -> None:
    arrived = arriving("2017-01-01", LAST, stores=FEW)

    kept = read_stamped(shop.rows, shop.snapshot())

    columns = ["basket", "store", "department", "day", "units", "apart", "digest"]
    order = [(name, "ascending") for name in ("basket", "department")]
    expected = rows(arrived).select(columns).sort_by(order)
    result = kept.select(columns).sort_by(order)
    assert result.num_rows == expected.num_rows > 5_000
    assert result.cast(expected.schema).equals(expected)
    brought = [name.removeprefix("day-") for name in kept["arrival"].to_pylist()]
    late = [
        reported
        for reported, sold_on in zip(brought, kept["day"].to_pylist(), strict=True)
        if reported != "history" and day(reported) > sold_on + 1
    ]
    assert late, "no basket of these nights came late, so nothing was shown"


def test_the_newest_days_are_held_out_and_not_learned(shop: Shop) -> None:
    taken = shop.snapshot()

    learned, judging = split_holdout(read_stamped(shop.rows, taken), taken)

    assert taken.judged_from == "2017-04-20"
    assert pc.max(learned["day"]).as_py() == day("2017-04-19")
    assert pc.min(judging["day"]).as_py() == day("2017-04-20")
    assert (taken.rows, taken.holdout_rows) == (learned.num_rows, judging.num_rows)
    assert check_kept_out(learned, judging).passed
    assert read_rows(shop.rows, taken).num_rows == learned.num_rows


def test_a_later_run_moves_the_holdout(
    shop: Shop,
) -> None:
    came = shop.rows.arrival_versions()
    earlier = shop.snapshot(version=came["day-2017-05-10"])

    later = shop.snapshot()

    assert earlier.judged_from < later.judged_from
    assert earlier.holdout_digest != later.holdout_digest
    # So whoever learned from the earlier snapshot has seen no day that judges by the later one.
    learned, _ = split_holdout(read_stamped(shop.rows, earlier), earlier)
    _, judging = split_holdout(read_stamped(shop.rows, later), later)
    assert pc.max(learned["day"]).as_py() < pc.min(judging["day"]).as_py()


def test_if_arrivals_are_excluded_later_the_champion_has_learned_held_out_days(shop: Shop) -> None:
    champion, arrival = (
        shop.snapshot(),
        shop.snapshot(version=shop.rows.arrival_versions()["day-2017-05-10"]),
    )
    late = [name for name in shop.rows.arrival_versions() if name > "day-2017-05-15"]

    back = shop.snapshot(without=[name for name in late if name != "history"])

    learned, _ = split_holdout(read_stamped(shop.rows, champion), champion)
    _, judging = split_holdout(read_stamped(shop.rows, back), back)
    assert not check_kept_out(learned, judging).passed
    assert learned_holdout_rows(champion.lineage, back.lineage)
    assert not learned_holdout_rows(champion.lineage, champion.lineage)
    assert not learned_holdout_rows(arrival.lineage, champion.lineage)


def test_the_manifest_records_the_holdout(shop: Shop) -> None:
    taken = shop.snapshot(version=shop.rows.arrival_versions()["day-2017-05-10"])
    base = manifest()
    made = base.model_copy(update={"data": DataLineage(**taken.lineage.model_dump())})

    again = snapshot(
        shop.rows,
        shop.holdout,
        version=made.data.dataset_version,
        without=made.data.without,
        judged_from=made.data.judged_from,
    )

    assert again == taken == recorded_snapshot(made)


def test_a_frozen_holdout_adds_no_field_to_a_manifest() -> None:
    assert "judged_from" not in manifest().encoded().decode()


def test_rows_are_valid_with_a_holdout_among_them(shop: Shop) -> None:
    taken = shop.snapshot()
    learned, judging = split_holdout(read_stamped(shop.rows, taken), taken)

    findings = validate(learned, taken, DEFINITION, holdout=judging, now=AT)

    assert [item.message for item in findings if not item.passed] == []


def test_a_held_out_row_out_of_range_is_reported(shop: Shop) -> None:
    taken = shop.snapshot()
    learned, judging = split_holdout(read_stamped(shop.rows, taken), taken)
    place = judging.column_names.index("units")
    wrong = judging.set_column(place, "units", pa.array([1e9] * judging.num_rows))

    findings = validate(learned, taken, DEFINITION, holdout=wrong, now=AT)

    assert any(not item.passed and item.metric == "units" for item in findings)


def test_a_dataset_without_any_row_has_no_holdout_and_is_refused_as_too_small(
    tmp_path: Path,
) -> None:
    shop = Shop(tmp_path)
    shop.arrive("nothing", none=arriving(HISTORY, HISTORY, stores=FEW).slice(0, 0))

    empty = shop.snapshot()
    learned = read_rows(shop.rows, empty)
    findings = validate(learned, empty, DEFINITION, holdout=learned, now=AT)

    assert (empty.rows, empty.holdout_rows, empty.judged_from) == (0, 0, None)
    assert "enough rows" in {finding.gate for finding in findings if not finding.passed}


@pytest.mark.parametrize(
    ("learned_until", "compared"),
    [("2017-04-19", True), ("2017-04-20", True), ("2017-04-21", False)],
)
def test_a_champion_that_learned_held_out_days_is_reported(
    learned_until: str, compared: bool
) -> None:
    result = check_unseen("v1", learned_until, "2017-04-20")

    assert result.passed
    assert result.applicable is compared
    assert ("favours it" in result.message) is not compared


def test_one_basket_of_a_wrong_year_refuses_its_arrival(tmp_path: Path) -> None:
    shop = Shop(tmp_path)
    shop.arrive("history", all=arriving("2017-01-01", HISTORY, stores=FEW))
    before = shop.snapshot()
    arrival = arriving("2017-05-01", "2017-05-01", stores=FEW)
    wrong = arrival.slice(0, 1)
    later = pa.array(wrong["transaction_timestamp"].to_numpy() + np.timedelta64(3650, "D"))
    place = wrong.column_names.index("transaction_timestamp")
    kind = wrong.schema.field(place).type
    wrong = wrong.set_column(place, "transaction_timestamp", later.cast(kind))
    other = pa.array([10**9], wrong.schema.field("basket_id").type)
    wrong = wrong.set_column(wrong.column_names.index("basket_id"), "basket_id", other)

    refused = shop.arrive("day-2017-05-01", tonight=pa.concat_tables([arrival, wrong]))
    again = shop.arrive("day-2017-05-01-mended", tonight=arrival)

    assert [(item.gate, item.slice) for item in refused.findings] == [
        ("days together", "day-2017-05-01")
    ]
    assert refused.rows_added == 0
    assert again.rows_added > 0
    assert before.judged_from == "2017-03-31"
    assert shop.snapshot().judged_from == "2017-04-01"
