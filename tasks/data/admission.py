"""Admission of an arrival to the dataset, and the outcome of its ingest."""

from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass

import pyarrow as pa

from overnight.models.data_gates.declaration import DataGates
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival, Landing, Quarantined
from overnight.store.errors import AlreadyExists
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.changed_files import delivered
from overnight.tasks.data.column_checks import check_columns
from overnight.tasks.data.deduplicate import Repeats


@dataclass(frozen=True)
class Ingested:
    """The outcome of an ingest, and the version of the dataset after it.

    `findings` say why an arrival was refused, or why none of its rows was new. `kept_out` counts
    rows of the holdout. `skipped` arrivals were ingested or refused before under the same name.
    `notices` name what was left alone in the landing and the source's folder, and why.
    `source_failure` says why the source gave nothing, and what to do. `held` arrivals stay in the
    landing until a person decides about them.
    """

    arrivals: tuple[str, ...] = ()
    rows_added: int = 0
    duplicates: int = 0
    kept_out: int = 0
    quarantined: tuple[Quarantined, ...] = ()
    dataset_version: int | None = None
    findings: tuple[Finding, ...] = ()
    skipped: tuple[str, ...] = ()
    notices: tuple[str, ...] = ()
    source_failure: str = ""
    held: tuple[str, ...] = ()


def check_columns_of(
    rows: pa.Table, gates: DataGates, arrival: str, *, not_yet: Collection[str] = ()
) -> tuple[Finding, ...]:
    """The failed findings on the columns of some rows of an arrival.

    Columns that are `not_yet` delivered by any arrival may be absent.
    """
    may_be_absent = set(not_yet) - set(rows.column_names)
    columns = [column for column in gates.columns if column.name not in may_be_absent]
    return _failures(check_columns(rows, columns), arrival) if rows.num_rows else ()


def check_repeats(repeats: Repeats, gates: DataGates, arrival: str) -> tuple[Finding, ...]:
    """The failed finding on the repeated rows of an arrival, if there are too many.

    A constant column makes many rows equal.
    """
    if repeats.n < gates.judged_rows:
        return ()
    share = repeats.repeated / repeats.n
    finding = Finding(
        gate="few repeats",
        metric="repeated rows",
        passed=share <= gates.repeated_share,
        message=f"{share:.1%} of {repeats.n:,} rows repeat others of this arrival, at most "
        f"{gates.repeated_share:.1%} may; one occurs {repeats.most:,} times, "
        f"digest {repeats.most_frequent[:12]}",
        value=share,
        bound=gates.repeated_share,
        n=repeats.n,
    )
    return _failures([finding], arrival)


def ingest_outcome(
    arrival: str, *, arrived: int, added: int, kept_out: int, quarantined: tuple[Quarantined, ...]
) -> Ingested:
    """The outcome of one arrival with `arrived` rows, and a finding if none of them was added."""
    duplicates = arrived - added - kept_out
    nothing_left = Finding(
        gate="anything left",
        metric="rows",
        slice=arrival,
        passed=False,
        message=f"none of {arrived:,} rows was added: {duplicates:,} are in the dataset already or "
        f"repeat each other, {kept_out:,} are in the holdout; {len(quarantined):,} files were "
        "rejected",
        value=0,
        bound=1,
        n=arrived,
    )
    # An arrival that was empty from the start is no reason for a warning.
    has_content = bool(arrived or quarantined)
    return Ingested(
        arrivals=(arrival,),
        rows_added=added,
        duplicates=duplicates,
        kept_out=kept_out,
        quarantined=quarantined,
        findings=(nothing_left,) if has_content and not added else (),
    )


def refuse(
    landing: Landing,
    rows: Dataset,
    arrival: Arrival,
    read: Callable[[str], bytes | None],
    files: Iterable[str],
    *,
    failures: tuple[Finding, ...],
    quarantined: tuple[Quarantined, ...],
) -> Ingested | None:
    """Quarantine every file of an arrival, and commit the arrival without rows.

    Returns None if a concurrent ingest committed it. Without a table nothing is committed, and the
    arrival may be delivered again.
    """
    done = {file.file for file in quarantined}
    reasons = "; ".join(finding.message for finding in failures)
    # Read one at a time, because pieces of a long file do not fit into memory together.
    quarantined += tuple(
        landing.quarantine(
            arrival, file, read(file), f"{file}: {arrival.name} is refused: {reasons}"
        )
        for file in files
        if file not in done
    )
    if not commit_empty(rows, arrival):
        return None
    return Ingested(arrivals=(arrival.name,), quarantined=quarantined, findings=failures)


def commit_empty(rows: Dataset, arrival: Arrival) -> bool:
    """Commit an arrival without rows; False if it was committed before."""
    if rows.version() is None:
        return True
    try:
        rows.append(rows.schema().empty_table(), arrival.name, delivered(arrival))
    except AlreadyExists:
        return False
    return True


def _failures(findings: Iterable[Finding], arrival: str) -> tuple[Finding, ...]:
    """The failed findings, with the arrival as their slice."""
    return tuple(
        finding.model_copy(update={"slice": arrival}) for finding in findings if not finding.passed
    )
