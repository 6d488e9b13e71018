"""The columns that ingest adds to those of the source; they give the order of arrival."""

import pyarrow as pa

STAMPS = pa.schema(
    [
        ("arrival", pa.string()),
        ("arrived_at", pa.timestamp("us", "UTC")),
        ("arrival_row", pa.int64()),
    ]
)
ARRIVAL_COLUMNS = tuple(STAMPS.names)
