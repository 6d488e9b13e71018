"""The sides of the benchmark, as child processes: `python -m benchmarks.ingest.sides SIDE JSON`."""

import json
import sys
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import BinaryIO

Parameters = Mapping[str, str]
AT = datetime(2026, 11, 22, 2, 0, tzinfo=UTC)


def pandas(parameters: Parameters) -> None:
    import pandas as pd

    pd.read_csv(parameters["csv"]).to_parquet(parameters["out"])


def convert(parameters: Parameters) -> None:
    import pyarrow.parquet as pq

    from overnight.models.sources.csv_stream import read_lines
    from overnight.tasks.data.land import write_options

    columns, out = _columns(), parameters["out"]
    writer = pq.ParquetWriter(out, columns, **write_options(columns))
    with Path(parameters["csv"]).open("rb") as file, writer:
        for table in _gathered(read_lines("sales.csv", file, columns, print)):
            writer.write_table(table)


def land(parameters: Parameters) -> None:
    from overnight.models.sources.local_folder import regular_file
    from overnight.store.objects.s3 import S3Bucket
    from overnight.tasks.data.land import land_file

    bucket = S3Bucket(_address(parameters))
    bucket.ensure()
    file = regular_file(Path(parameters["csv"]))
    arrival = land_file(_Source(), bucket, file, model="sales", by="me", at=AT, report=_ignore)
    assert arrival is not None


def ingest_landed(parameters: Parameters) -> None:
    from overnight.store.datasets.delta_table import Dataset
    from overnight.store.objects.s3 import S3Bucket
    from overnight.tasks.data.ingest import ingest

    address = _address(parameters)
    rows, holdout = (Dataset.on_s3(address, "sales", table) for table in ("rows", "holdout"))
    ingested = ingest(_Source(), S3Bucket(address), rows, holdout, model="sales", take_next=False)
    assert ingested.duplicates == 0
    assert ingested.rows_added > 0


def _address(parameters: Parameters):
    from overnight.store.objects.s3 import S3Address

    names = ("endpoint", "bucket", "access", "secret")
    return S3Address(*(parameters[name] for name in names))


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

    pending, rows = [], 0
    for batch in batches:
        pending.append(batch)
        rows += batch.num_rows
        if rows >= PIECE_ROWS:
            yield pa.Table.from_batches(pending)
            pending, rows = [], 0
    if pending:
        yield pa.Table.from_batches(pending)


class _Source:
    """Lines are rows, identified by their id."""

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
            digest = digests(batch.column("id").cast(pa.string()))
            yield pa.RecordBatch.from_arrays([*batch.columns, digest], schema=schema)

    def holdout(self):
        import pyarrow as pa

        return _columns().append(pa.field("digest", pa.string())).empty_table()


def _ignore(_: int) -> None:
    """No progress bar."""


if __name__ == "__main__":
    sides = {"pandas": pandas, "convert": convert, "land": land, "ingest": ingest_landed}
    sides[sys.argv[1]](json.loads(sys.argv[2]))
