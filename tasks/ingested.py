"""What taking in arrivals comes to, however their rows were read."""

from dataclasses import dataclass

import pyarrow as pa

from store.landing import Quarantined
from store.manifest import Finding
from tasks.admit import nothing_left

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


def taken_in(
    arrival: str,
    arrived: int,
    added: int,
    *,
    duplicates: int,
    kept_out: int,
    quarantined: tuple[Quarantined, ...],
) -> Ingested:
    """One arrival of so many rows, of which some were added; says why when none was."""
    finding = nothing_left(
        arrival, arrived, duplicates=duplicates, kept_out=kept_out, rejected=len(quarantined)
    )
    return Ingested(
        arrivals=(arrival,),
        rows_added=added,
        duplicates=duplicates,
        kept_out=kept_out,
        quarantined=quarantined,
        findings=(finding,) if finding and not added else (),
    )
