"""The source of rows: CSV files in a folder, one arrival each, and `holdout.csv`."""

import pyarrow as pa

from overnight.models.definition import Places
from overnight.models.sources.csv_folder import CsvFolder

TYPES = {
    "day": pa.int32(),
    "store": pa.string(),
    "weekday": pa.int32(),
    "yesterday": pa.float32(),
    "week_ago": pa.float32(),
    "units": pa.float32(),
}
COLUMNS = pa.schema([pa.field(name, kind, nullable=False) for name, kind in TYPES.items()])


def open_source(places: Places) -> CsvFolder:
    """A store has one row a day."""
    return CsvFolder(places, model="starter", columns=COLUMNS, same_by=("day", "store"))
