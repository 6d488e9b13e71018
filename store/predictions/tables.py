"""The tables `predictions/<model>` and `labels/<model>`: what was answered, and what was true.

Both are Delta tables that any engine reads, partitioned by `day`. Their columns are in
`predictions.columns`; those of tensors grow with the model's schema (`predictions.tensor_columns`).
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import ClassVar, Self

import pyarrow as pa
import pyarrow.compute as pc

from overnight.store.datasets.table_address import TableAddress
from overnight.store.errors import ConfigurationError
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address
from overnight.store.predictions.arrays import arrays_of, recorded
from overnight.store.predictions.columns import LABELS, PREDICTIONS, answer_rows, label_rows
from overnight.store.predictions.committed_segments import SegmentId
from overnight.store.predictions.day_table import Batches, DayTable
from overnight.store.predictions.records import AnsweredRequest, SentLabel, client_digest

__all__ = ["LabelTable", "PredictionTable", "SegmentId", "arrays_of", "recorded"]


@dataclass(frozen=True)
class AnswerIds:
    """Ids by which labels name requests: ours, and those of callers that have one."""

    requests: pa.Array
    callers: pa.Array


class PredictionTable(DayTable):
    """What a model was asked and answered: a row for each row of a recorded request.

    `day` is that of the answer (UTC), `collected` when the row came into the table.
    A shadow's answers are rows of their own, of the same request and with the route `shadow`.
    """

    first_columns: ClassVar[pa.Schema] = PREDICTIONS

    @classmethod
    def on_s3(cls, address: S3Address, model: str) -> Self:
        """A model's table in the bucket."""
        return cls(TableAddress.on_s3(address, keys.predictions(model)), model)

    @classmethod
    def in_folder(cls, folder: Path, model: str) -> Self:
        """A model's table in a local folder."""
        return cls(TableAddress.in_folder(folder, keys.predictions(model)), model)

    def append(
        self,
        records: Mapping[SegmentId, Sequence[AnsweredRequest]],
        *,
        collected: datetime | None = None,
    ) -> frozenset[SegmentId]:
        """Add the rows of segments, each exactly once, in one commit.

        Returns the segments whose rows this call added; the others had come before. The records
        are sound (`columns.problem`). They were `collected` at this time, or else at the commit,
        and never in a period that was closed before (`close`).

        Raises:
            StoreUnavailable: after any number of tries it is safe to try again.
            StoreDenied, CorruptTable
        """

        def rows(segments: frozenset[SegmentId], at: datetime) -> Batches:
            chosen = [each for name in sorted(segments) for each in records[name]]
            return list(answer_rows(chosen, at))

        return self._append_segments(list(records), collected, rows)

    def ids_of(self, client: str) -> AnswerIds:
        """The ids of the requests of a client, under its key or its digest, each once."""
        own = _names(self.model, client)
        requests, callers = [_NONE], [_NONE]
        for each in self.batches(columns=["request", "caller", "client"]):
            rows = each.filter(pc.is_in(each.column("client"), value_set=own))
            requests.append(pc.unique(rows.column("request")))
            callers.append(pc.unique(rows.column("caller")))
        requests, callers = (pc.unique(pa.chunked_array(each)) for each in (requests, callers))
        # Most requests have no id of their caller, and such rows are not of each other.
        return AnswerIds(requests, callers.filter(pc.greater(pc.utf8_length(callers), 0)))

    def rows_of(self, client: str) -> int:
        """The number of rows of a client, under its key or its digest."""
        return self.count_where(["client"], _of_client(self.model, client))

    def delete_client(self, client: str) -> int:
        """Delete all rows of a client, under its key or its digest, and say how many.

        Their files are gone from the store when this returns. Delete its labels first, while its
        requests are known: `predictions.deletion`.
        """
        return self.delete_where(["client"], _of_client(self.model, client))


class LabelTable(DayTable):
    """The truths that were sent of a model's answers, each as it came.

    `day` is that of the receipt (UTC), `collected` when the row came into the table, and `truth` is
    JSON by output.
    """

    first_columns: ClassVar[pa.Schema] = LABELS

    @classmethod
    def on_s3(cls, address: S3Address, model: str) -> Self:
        """A model's table in the bucket."""
        return cls(TableAddress.on_s3(address, keys.labels(model)), model)

    @classmethod
    def in_folder(cls, folder: Path, model: str) -> Self:
        """A model's table in a local folder."""
        return cls(TableAddress.in_folder(folder, keys.labels(model)), model)

    def append(
        self, records: Mapping[SegmentId, Sequence[SentLabel]], *, collected: datetime | None = None
    ) -> frozenset[SegmentId]:
        """Add the labels of segments, each segment exactly once, as `PredictionTable.append`."""

        def rows(segments: frozenset[SegmentId], at: datetime) -> Batches:
            chosen = [each for name in sorted(segments) for each in records[name]]
            return list(label_rows(chosen, at))

        return self._append_segments(list(records), collected, rows)

    def rows_of(self, client: str, ids: AnswerIds) -> int:
        """The number of labels that a client sent, or that anybody sent of these requests."""
        return self.count_where(_LABEL_KEYS, _of_client(self.model, client, ids))

    def delete_client(self, client: str, ids: AnswerIds) -> int:
        """Delete what a client sent, and what anybody sent of these requests; say how many.

        An id of a caller may be that of several clients: all labels by it are deleted.
        """
        return self.delete_where(_LABEL_KEYS, _of_client(self.model, client, ids))


_NONE = pa.array([], pa.string())
_LABEL_KEYS = ("client", "request", "caller")


def _names(model: str, client: str) -> pa.Array:
    """Both names under which rows of a client may be stored."""
    if not client:
        raise ConfigurationError(
            "the key of the client is empty; rows without a client are nobody's: name a key"
        )
    return pa.array([client, client_digest(model, client)])


def _of_client(
    model: str, client: str, ids: AnswerIds | None = None
) -> Callable[[pa.RecordBatch], pa.Array]:
    """A mask of the rows that a client sent, or that are of these requests, bool [n]."""
    wanted = {"client": _names(model, client)}
    if ids is not None:
        wanted |= {"request": ids.requests, "caller": ids.callers}

    def chosen(rows: pa.RecordBatch) -> pa.Array:
        masks = [pc.is_in(rows.column(name), value_set=each) for name, each in wanted.items()]
        return functools.reduce(pc.or_, masks)

    return chosen
