"""Admission: whether the rows of an arrival may enter the dataset, and what its ingest came to."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from overnight.models.data_gates.declaration import DataGates
from overnight.store.datasets.landing import Quarantined
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.column_checks import check_columns

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


def check_admission(rows: pa.Table, gates: DataGates, arrival: str) -> tuple[Finding, ...]:
    """What stands against an arrival, naming it; nothing when its rows are as declared.

    One column that is wrong refuses the whole arrival: its other columns came from the same hand.
    """
    if rows.num_rows == 0:
        return ()
    return columns_against(rows, gates, arrival) + _against(_repeats(rows, gates), arrival)


def columns_against(rows: pa.Table, gates: DataGates, arrival: str) -> tuple[Finding, ...]:
    """What stands against the columns of some rows of an arrival."""
    return _against(check_columns(rows, gates.columns), arrival) if rows.num_rows else ()


def repeats_against(repeated: int, n: int, gates: DataGates, arrival: str) -> tuple[Finding, ...]:
    """What stands against an arrival of n rows of which some repeat others of it."""
    if n < gates.judged_rows:
        return ()
    return _against([_few_repeats(repeated, n, gates)], arrival)


def nothing_left(
    arrival: str, n: int, *, duplicates: int, kept_out: int, rejected: int
) -> Finding | None:
    """Names an arrival that came with rows or files, and of which not one row is left."""
    if n == 0 and rejected == 0:
        return None
    told = (
        f"of {n:,} rows none is left: {duplicates:,} are in the dataset already or repeat each "
        f"other, {kept_out:,} are the holdout's; {rejected:,} files were rejected"
    )
    return Finding(
        gate="anything left",
        metric="rows",
        slice=arrival,
        passed=False,
        message=told,
        value=0,
        bound=1,
        n=n,
    )


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


def _repeats(rows: pa.Table, gates: DataGates) -> Iterator[Finding]:
    """Rows that repeat others of their own arrival: a poisoned column makes them all alike."""
    n = rows.num_rows
    if n < gates.judged_rows:
        return
    digests = rows.column("digest").to_numpy(zero_copy_only=False).astype("U64")
    distinct, counts = np.unique(digests, return_counts=True)
    most = int(counts.argmax())
    often = f"; one is there {counts[most]:,} times, digest {str(distinct[most])[:12]}"
    yield _few_repeats(n - len(distinct), n, gates, often)


def _few_repeats(repeated: int, n: int, gates: DataGates, often: str = "") -> Finding:
    share = repeated / n
    return Finding(
        gate="few repeats",
        metric="repeated rows",
        passed=share <= gates.repeated_share,
        message=f"{share:.1%} of {n:,} rows repeat others of this arrival, at most "
        f"{gates.repeated_share:.1%} may{often}",
        value=share,
        bound=gates.repeated_share,
        n=n,
    )


def _against(findings: Iterable[Finding], arrival: str) -> tuple[Finding, ...]:
    """The findings that refuse, each naming the arrival."""
    return tuple(
        finding.model_copy(update={"slice": arrival}) for finding in findings if not finding.passed
    )
