"""Reading a table of PostgreSQL: `Sql` in batches beside pandas, which reads all of it.

Claim: the memory of `Sql` does not grow with the table (docs/sources/sql.md).

    python -m benchmarks.ingest.sql [ROWS]

The columns are those of the sales: a day, a store, a department, two numbers, a time of change.
Each side is a child process; its peak is that of the whole process, and what it has after its
imports is subtracted.

- `batches`: the batches of the driver, which are thrown away;
- `pieces`: `Sql` to the Parquet pieces that are landed, with the digest of every row;
- `pandas`: `read_sql` to a frame, and that to one Parquet file, with no digests.
"""

import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.support.postgres_server import PASSWORD, USER, postgres

_ROWS = 2_000_000
_SIDES = ("batches", "pieces", "pandas")
_QUERY = "SELECT * FROM sales"


def main(rows: int) -> None:
    with postgres() as server:
        server.execute(
            "CREATE TABLE sales AS SELECT date '2024-01-01' + i % 700 AS day, i % 54 AS store, "
            "'department ' || i % 33 AS department, (i::bigint * 7919 % 1000)::float4 AS units, "
            "(i % 2)::float4 AS promotion, timestamptz '2026-11-22' + i * interval '1 ms' AS "
            f"changed_at FROM generate_series(1, {rows}) i",
            "CREATE INDEX ON sales (changed_at)",
            "ANALYZE sales",
        )
        print(f"{rows:,} rows: CPU s, wall s, MB at the peak beyond the imports")
        for side in _SIDES:
            with tempfile.TemporaryDirectory() as folder:
                command = [sys.executable, "-m", __spec__.name, side, server.url, folder]
                answer = subprocess.run(command, check=True, capture_output=True, text=True)
            numbers = json.loads(answer.stdout)
            print(f"  {side:8} {numbers['cpu']:5.1f} {numbers['wall']:5.1f} {numbers['mb']:7.0f}")


def measure(side: str, url: str, folder: Path) -> None:
    """Run one side in this process, and print what it took."""
    import pandas as pd
    import pyarrow as pa
    from adbc_driver_postgresql import dbapi

    from overnight.api import Places, Sql, StreamedDelivery
    from overnight.models.sources.access import SourceAccess
    from overnight.models.sources.databases import reading
    from overnight.tasks.data.land import write_pieces

    access = SourceAccess(url=url, user=USER, password=PASSWORD)
    types = {"day": pa.date32(), "store": pa.int32(), "department": pa.string()}
    types |= dict.fromkeys(("units", "promotion"), pa.float32())
    pd.DataFrame({"a": [1]}).to_parquet(folder / "warm.parquet")
    # As in the process that reads arrivals.
    pa.set_memory_pool(pa.system_memory_pool())
    before, began = _peak_mb(), (time.process_time(), time.perf_counter())
    if side == "batches":
        with reading(url, access, model="sales") as cursor:
            cursor.execute(_QUERY)
            assert sum(batch.num_rows for batch in cursor.fetch_record_batch()) > 0
    elif side == "pieces":
        source = Sql(
            Places(folder=None, cache=folder, access=access),
            model="sales",
            query=_QUERY,
            watermark="changed_at",
            columns=pa.schema(list(types.items())),
            same_by=("day", "store", "department", "units"),
            holdout=None,
        )
        delivery = source.deliver(())
        assert isinstance(delivery, StreamedDelivery)
        assert write_pieces(delivery, folder).rows > 0
    else:
        owner = url.replace("//", f"//{USER}:the-password%2Fof%20tests@")
        with dbapi.connect(owner) as connection:
            pd.read_sql(_QUERY, connection).to_parquet(folder / "rows.parquet")
    cpu, wall = time.process_time() - began[0], time.perf_counter() - began[1]
    print(json.dumps({"cpu": cpu, "wall": wall, "mb": _peak_mb() - before}))


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    if sys.argv[1:2] and sys.argv[1] in _SIDES:
        measure(sys.argv[1], sys.argv[2], Path(sys.argv[3]))
    else:
        main(int(sys.argv[1]) if sys.argv[1:] else _ROWS)
