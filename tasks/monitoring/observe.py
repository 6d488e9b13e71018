"""What the prediction log has of a period: labelled answers, and some rows of each closed day."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as pads

from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.tasks.monitoring.join import BATCH, WAITING, JoinedLabels, is_live, join, read_since

# More rows of a day show no smaller change that would matter, and cost memory.
DAY_ROWS = 20_000
# A run after an outage closes the days before it; older ones are closed without distances.
MOST_DAYS = 30
_DAY = timedelta(days=1)
_INPUT = "input."


@dataclass(frozen=True)
class ObservedPeriod:
    """What was collected after `since` and until `until`, joined.

    Attributes:
        joined: the answers without their inputs, as far back as labels can be of them.
        shown_from: answers from then on are those whose quality is shown: a window of them.
        labelled: the answers with a label that counts, those shown or newly labelled, with their
            inputs, `truth`, `labelled_at` and `is_new`, in the order of labelling.
        days: rows of the days that have ended and of which no earlier record has any; at most
            `DAY_ROWS` of each, without shadows and batch runs.
        new_answers: how many rows were collected in the period.
    """

    since: datetime | None
    until: datetime
    joined: JoinedLabels
    shown_from: datetime
    labelled: pa.Table
    days: Mapping[date, pa.Table]
    new_answers: int

    @property
    def is_empty(self) -> bool:
        """Whether nothing was collected, no label settled, and no day has ended."""
        settled = sum(count for name, count in self.joined.counts.items() if name != WAITING)
        return not (self.new_answers or settled or self.days)


def observe(
    predictions: PredictionTable,
    labels: LabelTable,
    *,
    since: datetime | None,
    until: datetime,
    closed: date | None,
    window_days: float,
) -> ObservedPeriod:
    """Close a period in both tables, read it and join it.

    Each row is in exactly one period, also where collectors are still at work: what they commit
    from then on belongs to the next one (`DayTable.close`).

    Args:
        since: the end of the period before; None before the first.
        until: now, after everything was collected.
        closed: the last day that an earlier record compared.
        window_days: how long after its answer a label counts.

    Raises:
        StoreUnavailable, StoreDenied, CorruptTable
    """
    predictions.close(until)
    labels.close(until)
    earliest = read_since(since or until, window_days)
    columns = predictions.read(until=datetime.min.replace(tzinfo=UTC)).column_names
    light = [name for name in columns if not name.startswith(_INPUT)]
    # The table's times are those of answers; a host's clock may be a little ahead.
    end = until + _DAY
    # Those of batch runs may be many times the memory, and are left out of everything here.
    answers = predictions.read(earliest, end, light, where=pads.field("route") != BATCH)
    joined = join(
        answers, labels.read(earliest, end), window_days=window_days, now=until, since=since
    )
    newest = pc.max(joined.answers["at"]).as_py() or until
    shown_from = min(newest, until) - timedelta(days=window_days)
    counts = predictions.days()
    return ObservedPeriod(
        since=since,
        until=until,
        joined=joined,
        shown_from=shown_from,
        labelled=_with_inputs(predictions, joined, shown_from, (earliest, end)),
        days={
            day: sample
            for day in closed_days(counts, closed, until)
            if (sample := _sample(predictions, day)).num_rows
        },
        new_answers=_collected(answers, since, until),
    )


def closed_days(days: Iterable[date], closed: date | None, until: datetime) -> tuple[date, ...]:
    """Of days with answers, those (UTC) that have ended, after the last closed one.

    Only the last `MOST_DAYS` of them, after an outage of the monitor.
    """
    today = until.astimezone(UTC).date()
    ended = sorted(day for day in days if day < today and (closed is None or day > closed))
    return tuple(ended[-MOST_DAYS:])


def _collected(answers: pa.Table, since: datetime | None, until: datetime) -> int:
    """How many rows were collected in the period."""
    at = answers["collected" if "collected" in answers.column_names else "at"]
    fresh = pc.less_equal(at, _instant(until))
    if since is not None:
        fresh = pc.and_(fresh, pc.greater(at, _instant(since)))
    return pc.sum(fresh).as_py() or 0


def _instant(at: datetime) -> pa.Scalar:
    return pa.scalar(at, pa.timestamp("us", "UTC"))


def _with_inputs(
    predictions: PredictionTable,
    joined: JoinedLabels,
    shown_from: datetime,
    read: tuple[datetime, datetime],
) -> pa.Table:
    """The labelled answers that are shown or new, with everything that the log has of them."""
    wanted_rows = pc.and_(
        joined.label["truth"].is_valid(),
        pc.or_(
            joined.label["is_new"], pc.greater_equal(joined.answers["at"], _instant(shown_from))
        ),
    )
    labels = joined.label.filter(wanted_rows)
    answers = joined.answers.filter(wanted_rows)
    if not answers.num_rows:
        return pa.table({**_columns(answers), **_columns(labels)})
    first = max(read[0], pc.min(answers["at"]).as_py())
    wanted = _keys(answers).combine_chunks()
    chosen_rows: list[pa.Table] = []
    for batch in predictions.batches(first, read[1]):
        rows = _served(batch)
        places = pc.index_in(_keys(rows), value_set=wanted)
        chosen = places.is_valid()
        rows, places = rows.filter(chosen), places.filter(chosen)
        if len(rows):
            own = labels.take(places)
            chosen_rows.append(
                pa.table({**_columns(pa.Table.from_batches([rows])), **_columns(own)})
            )
    if not chosen_rows:
        # Deleted meanwhile, as a client may ask for.
        return pa.table({**_columns(answers.slice(0, 0)), **_columns(labels.slice(0, 0))})
    whole = pa.concat_tables(chosen_rows)
    by = [(name, "ascending") for name in ("labelled_at", "request", "row")]
    return whole.take(pc.sort_indices(whole.select([name for name, _ in by]), sort_keys=by))


def _sample(predictions: PredictionTable, day: date) -> pa.Table:
    """At most `DAY_ROWS` served rows of a day, chosen by chance, and the same each time."""
    begin = datetime.combine(day, time(), UTC)
    # A day's number as the seed: a run that is repeated sees the same rows.
    chance = np.random.default_rng(day.toordinal())
    routes = predictions.batches(begin, begin + _DAY, ["route"])
    rows = sum(pc.sum(is_live(batch.column("route"))).as_py() or 0 for batch in routes)
    share = min(1.0, DAY_ROWS / max(rows, 1))
    parts = [
        served.filter(pa.array(chance.random(len(served)) < share))
        for batch in predictions.batches(begin, begin + _DAY)
        if len(served := _served(batch))
    ]
    return pa.Table.from_batches(parts) if parts else pa.table({})


def _served(batch: pa.RecordBatch) -> pa.RecordBatch:
    return batch.filter(is_live(batch.column("route")))


def _keys(rows: pa.Table | pa.RecordBatch) -> pa.Array | pa.ChunkedArray:
    """What names a row of an answer."""
    parts = [rows.column("request"), rows.column("row").cast(pa.string()), rows.column("version")]
    return pc.binary_join_element_wise(*parts, "/")


def _columns(rows: pa.Table) -> dict[str, pa.ChunkedArray]:
    return {name: rows[name] for name in rows.column_names}
