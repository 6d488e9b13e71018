"""What taking in arrivals comes to, however their rows were read."""

from dataclasses import dataclass

import pyarrow as pa

from store.landing import Quarantined
from store.manifest import Finding

# What ingest adds to the source's own columns: the order in which rows arrived.
STAMPS = pa.schema(
    [
        ("arrival", pa.string()),
        ("arrived_at", pa.timestamp("us", "UTC")),
        ("arrival_row", pa.int64()),
    ]
)
ARRIVAL_COLUMNS = tuple(STAMPS.names)


@dataclass(frozen=True)
class Ingested:
    """What came in and what was left out, and the version of the dataset that has it.

    `findings` say why an arrival was refused whole, or why nothing of it is left. `skipped` are
    those that were taken in or refused before under the same name, and are only cleared away.
    """

    arrivals: tuple[str, ...] = ()
    rows_added: int = 0
    duplicates: int = 0
    kept_out: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    dataset_version: int | None = None
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()
