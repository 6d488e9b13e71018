"""A folder of CSV files with commas, in UTF-8 and plain or in gzip: `Files` that guess nothing."""

import time
from collections.abc import Callable, Sequence

import pyarrow as pa

from overnight.models.definition import Places
from overnight.models.sources.csv_dialect import COMMAS
from overnight.models.sources.files import HOLDOUT, Files

__all__ = ["HOLDOUT", "CsvFolder"]
_SUFFIXES = (".csv", ".csv.gz")


class CsvFolder(Files):
    """CSV files with a header, in the folder of the setting `source_folders`."""

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        columns: pa.Schema,
        same_by: Sequence[str],
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """As `Files`."""
        super().__init__(
            places, model=model, columns=columns, same_by=same_by, format=COMMAS, wait=wait
        )

    def _is_data(self, name: str) -> bool:
        return name.lower().endswith(_SUFFIXES)

    def _expected_names(self) -> str:
        return f"ends in {' or '.join(_SUFFIXES)}"
