"""What is measured, each in a process of its own: `python -m benchmarks.ingest.sides SIDE JSON`."""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

Told = Mapping[str, str]
AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def pandas(told: Told) -> None:
    import pandas as pd

    pd.read_csv(told["csv"]).to_parquet(told["out"])


def convert(told: Told) -> None:
    import pyarrow.parquet as pq

    from overnight.models.sources.csv_stream import read_lines
    from overnight.tasks.data.land import writing

    columns, out = _columns(), told["out"]
    writer = pq.ParquetWriter(out, columns, **writing(columns))
    with Path(told["csv"]).open("rb") as file, writer:
        for table in _gathered(read_lines("sales.csv", file, columns, print)):
            writer.write_table(table)


def land(told: Told) -> None:
    from overnight.store.objects.s3 import S3Address, S3Bucket
    from overnight.tasks.data.land import land_file

    bucket = S3Bucket(S3Address(told["endpoint"], told["bucket"], told["access"], told["secret"]))
    bucket.ensure()
    path = Path(told["csv"])
    arrival = land_file(_Source(), bucket, path, model="sales", by="me", at=AT, report=_unheard)
    assert arrival is not None


def take_in(told: Told) -> None:
    from overnight.store.datasets.delta_table import Dataset
    from overnight.store.objects.s3 import S3Address, S3Bucket
    from overnight.tasks.data.ingest import ingest

    address = S3Address(told["endpoint"], told["bucket"], told["access"], told["secret"])
    rows, holdout = (Dataset.on_s3(address, "sales", table) for table in ("rows", "holdout"))
    ingested = ingest(_Source(), S3Bucket(address), rows, holdout, model="sales", take_next=False)
    assert ingested.duplicates == 0
    assert ingested.rows_added > 0


def _columns():
    import pyarrow as pa

    return pa.schema(
        [
            pa.field("id", pa.int64(), nullable=False),
            pa.field("date", pa.date32(), nullable=False),
            pa.field("store_nbr", pa.int64(), nullable=False),
            pa.field("item_nbr", pa.int64(), nullable=False),
            pa.field("unit_sales", pa.float64(), nullable=False),
            pa.field("family", pa.string()),
            pa.field("onpromotion", pa.int64()),
        ]
    )


def _gathered(batches: Iterator) -> Iterator:
    """Tables of as many rows as a piece has."""
    import pyarrow as pa

    from overnight.tasks.data.land import PIECE_ROWS

    waiting, rows = [], 0
    for batch in batches:
        waiting.append(batch)
        rows += batch.num_rows
        if rows >= PIECE_ROWS:
            yield pa.Table.from_batches(waiting)
            waiting, rows = [], 0
    if waiting:
        yield pa.Table.from_batches(waiting)


class _Source:
    """Lines are rows, and the id names one."""

    def deliver(self, _: object) -> None:
        return None

    def read(self, files: object) -> None:
        raise NotImplementedError

    def batches(self, name: str, file: BinaryIO, rejected) -> Iterator:
        import pyarrow as pa

        from overnight.models.sources.csv_stream import read_lines
        from overnight.models.sources.streaming import digests

        columns = _columns()
        schema = columns.append(pa.field("digest", pa.string()))
        for batch in read_lines(name, file, columns, rejected):
            found = digests(batch.column("id").cast(pa.string()))
            yield pa.RecordBatch.from_arrays([*batch.columns, found], schema=schema)

    def holdout(self):
        import pyarrow as pa

        return _columns().append(pa.field("digest", pa.string())).empty_table()


def _unheard(_: int) -> None:
    """Nobody looks at the bar."""


if __name__ == "__main__":
    sides = {"pandas": pandas, "convert": convert, "land": land, "take in": take_in}
    sides[sys.argv[1]](json.loads(sys.argv[2]))
