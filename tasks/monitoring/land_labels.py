"""Lands labelled rows as arrivals, each label exactly once.

Every record of the monitor covers a period that never changes, so its labels are the same whenever
they are read. The arrival is named after the record, and an arrival's name is used only once: a run
that is killed at any point and run again lands the same rows, or none.
"""

import io
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from overnight.models.definition import ModelDefinition
from overnight.models.watching import Feedback
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.feedback_arrivals import (
    ORIGIN,
    feedback_name,
    parse_feedback_name,
)
from overnight.store.datasets.landing import Converted, Landing
from overnight.store.errors import CorruptRecord
from overnight.store.objects.digests import digest
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from overnight.tasks.monitoring.join import FIRST, LATE, is_live, join, read_since
from overnight.tasks.monitoring.learnable import (
    LearnableRows,
    SchemaOf,
    chosen_labels,
    findings,
    learnable,
)

_FILE = "labelled.parquet"
_JOINED = ["request", "row", "caller", "at", "version", "route", "collected"]
# Records that had nothing to learn leave no trace, and are looked at again: this many at most.
_MOST_RECORDS = 60


@dataclass(frozen=True)
class LandedLabels:
    """What was landed now: the arrivals, those that wait for a person, and what was left out."""

    arrivals: tuple[str, ...] = ()
    parked: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()


@dataclass(frozen=True)
class LabelLanding:
    """Lands the labelled rows of one model.

    `schema_of` is the schema of a version, and `holdout` reads the rows that never teach.
    """

    landing: Landing
    reviews: ArrivalReviews
    records: MonitorLog
    predictions: PredictionTable
    labels: LabelTable
    definition: ModelDefinition
    schema_of: SchemaOf
    holdout: Callable[[], pa.Table]

    def land(self, ingested: Collection[str], *, champion: str | None) -> LandedLabels:
        """Land the labelled rows of every record that has some, and was not landed before.

        Args:
            ingested: the names of the arrivals that the dataset knows.
            champion: the version that serves, for the record of a review.
        """
        feedback = self.definition.watching.feedback
        if feedback is None or feedback.rows is None or (last := self.records.last()) is None:
            return LandedLabels()
        known = {*ingested, *(each.name for each in self.landing.pending())}
        due, damaged = self._due(last, known)
        outcomes = [self._land(record, feedback, known, champion) for record in due]
        return LandedLabels(
            arrivals=tuple(name for each in outcomes for name in each.arrivals),
            parked=tuple(name for each in outcomes for name in each.parked),
            notices=(
                *(f"no labels of a damaged record are learned: {problem}" for problem in damaged),
                *(line for each in outcomes for line in each.notices),
            ),
        )

    def _due(
        self, last: MonitorRecord, known: Collection[str]
    ) -> tuple[list[MonitorRecord], list[str]]:
        """The records with labels since the newest that was landed, the oldest first.

        And what is wrong with those that cannot be read: one of them must not hide the others.
        """
        names = [parsed for name in known if (parsed := parse_feedback_name(name))]
        landed = max((each.sequence for each in names if not each.doubtful), default=0)
        first = max(landed + 1, last.sequence - _MOST_RECORDS + 1)
        records: list[MonitorRecord] = []
        damaged: list[str] = []
        for number in range(first, last.sequence + 1):
            try:
                record = self.records.at(number)
            except CorruptRecord as error:
                damaged.append(str(error))
                continue
            if record is not None and record.labels.get(FIRST, 0) + record.labels.get(LATE, 0):
                records.append(record)
        return records, damaged

    def _land(
        self,
        record: MonitorRecord,
        feedback: Feedback,
        known: Collection[str],
        champion: str | None,
    ) -> LandedLabels:
        learned = self._learnable(record, feedback)
        name = feedback_name(record.until, record.sequence)
        parked_name = feedback_name(record.until, record.sequence, doubtful=True)
        parked: tuple[str, ...] = ()
        arrivals: tuple[str, ...] = ()
        if learned.doubtful is not None and parked_name not in known:
            # Parked before it is visible: no ingest may take it for a usual arrival.
            why = findings(learned.parked, parked_name, bound=feedback.doubtful_share)
            self.reviews.park(parked_name, why, compared_with=champion)
            self._deliver(parked_name, learned.doubtful, record)
            parked = (parked_name,)
        if learned.rows is not None:
            self._deliver(name, learned.rows, record)
            arrivals = (name,)
        return LandedLabels(arrivals, parked, tuple(_notices(record, learned, parked)))

    def _learnable(self, record: MonitorRecord, feedback: Feedback) -> LearnableRows:
        """The labelled rows of a record's period, as it was at its end."""
        since = read_since(record.since or record.until, feedback.window_days)
        # The table's times are those of hosts, whose clocks may be ahead.
        until = record.until + timedelta(days=1)
        joined = join(
            self.predictions.read(since, until, _JOINED),
            self.labels.read(since, until),
            window_days=feedback.window_days,
            now=record.until,
            since=record.since,
        )
        chosen = chosen_labels(joined)
        if not chosen.num_rows:
            return LearnableRows()
        places, answers = self._answers(chosen, since, until)
        return learnable(
            chosen.take(places),
            answers,
            self.definition,
            feedback,
            self.schema_of,
            holdout=self.holdout(),
        )

    def _answers(
        self, chosen: pa.Table, since: datetime, until: datetime
    ) -> tuple[pa.Array, pa.Table]:
        """The answers of labels with all their values, and the places of these labels.

        Read in batches, because inputs of the whole period may not fit into memory.
        """
        wanted = {key: place for place, key in enumerate(_keys(chosen))}
        requests = pc.unique(chosen["request"])
        places: list[int] = []
        parts: list[pa.Table] = []
        for batch in self.predictions.batches(since, until):
            rows = pa.Table.from_batches([batch]).filter(
                pc.is_in(batch["request"], value_set=requests)
            )
            rows = rows.filter(is_live(rows["route"]))
            here = [wanted.get(key, -1) for key in _keys(rows)]
            keep = [place for place, label in enumerate(here) if label >= 0]
            places += [here[place] for place in keep]
            parts.append(rows.take(pa.array(keep, pa.int64())))
        answers = pa.concat_tables(parts).combine_chunks()
        # In the order of the labels, whatever the order of the files.
        order = pc.sort_indices(pa.array(places, pa.int64()))
        return pa.array(places, pa.int64()).take(order), answers.take(order)

    def _deliver(self, name: str, rows: pa.Table, record: MonitorRecord) -> None:
        body = io.BytesIO()
        pq.write_table(rows, body)
        content = body.getvalue()
        converted = Converted(
            file=_FILE,
            sha256=digest(content),
            rows=rows.num_rows,
            pieces=(_FILE,),
            size_bytes=len(content),
        )
        # The time of the record, so that a second try is the same arrival of the same day.
        self.landing.land_pieces(
            name, [(_FILE, content)], lambda: converted, by=ORIGIN, at=record.until
        )


def _keys(table: pa.Table) -> Iterator[tuple[str, int]]:
    return zip(table["request"].to_pylist(), table["row"].to_pylist(), strict=True)


def _notices(
    record: MonitorRecord, learned: LearnableRows, parked: tuple[str, ...]
) -> Iterator[str]:
    day = f"labels until {record.until:%Y-%m-%d %H:%M}"
    if learned.left_out:
        yield (
            f"{day}: {learned.left_out:,} make no row: the log has no inputs of their answers, or "
            "they name a class that the model has no more"
        )
    if learned.kept_out:
        yield f"{day}: {learned.kept_out:,} are of inputs of the holdout, and never learned"
    for name in parked:
        clients = ", ".join(each.named for each in learned.parked[:5])
        yield f"{name} waits for a person: labels of {clients} contradict probable answers"
