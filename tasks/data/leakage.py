"""Leakage: rows that arrived and are, or look like, rows that judge."""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.store.registry.manifest import DataLineage, Finding

# So few rows that look like the holdout's may be chance, however small the arrival.
_CHANCE_ROWS = 2
_TOLD_ARRIVALS = 5


def check_kept_out(rows: pa.Table, holdout: pa.Table) -> Finding:
    """No row that judges may train: told by the digests of both, naming whence they came."""
    shared = pc.is_in(rows.column("digest"), pc.unique(holdout.column("digest")))
    leaked = rows.filter(shared)
    told = ""
    if leaked.num_rows:
        told = f", the first of digest {leaked.column('digest')[0]}"
        if "arrival" in leaked.column_names:
            names = sorted(leaked.column("arrival").unique().to_pylist())[:_TOLD_ARRIVALS]
            told += f"; they came with {', '.join(names)}"
    return Finding(
        gate="holdout kept out",
        metric="holdout rows",
        passed=leaked.num_rows == 0,
        message=f"{leaked.num_rows:,} of {holdout.num_rows:,} holdout rows are among the "
        f"training rows{told}",
        value=leaked.num_rows,
        bound=0,
    )


def learned_holdout_rows(learned: DataLineage, now: DataLineage) -> bool:
    """Whether a version may have learned rows that judge tonight.

    Where the holdout moves it has when days were taken back since; a frozen one is the same for
    ever, unless the dataset is another one.
    """
    if now.judged_from is None:
        return learned.holdout_digest != now.holdout_digest
    return _knows(learned.judged_from, now.judged_from)


def _knows(learned_until: str | None, judged_from: str) -> bool:
    return learned_until is None or learned_until > judged_from


def check_unseen(champion: str, learned_until: str | None, judged_from: str) -> Finding:
    """Whether the champion learned days that judge tonight; both dates are first days held out.

    A champion of an earlier night learned fewer days. When days were taken back since, it knows
    some that judge: then the comparison favours it, so an equal may be refused, and none that is
    worse can pass. That is said, and holds nothing up; only no night goes on from its weights.
    """
    knows = _knows(learned_until, judged_from)
    until = "all it was given" if learned_until is None else f"days before {learned_until}"
    told = (
        f"{champion} learned {until}, and days from {judged_from} on judge"
        f"{': the comparison favours it, and no night goes on from it' if knows else ''}"
    )
    return Finding(
        gate="unseen by the champion",
        metric="days that judge",
        passed=True,
        applicable=not knows,
        message=told,
    )


def check_look_alikes(
    arrived: Mapping[str, pa.Table], holdout: pa.Table, definition: ModelDefinition
) -> Iterator[Finding]:
    """Of each arrival how many rows look like one of the holdout's, though their bytes differ."""
    gates = definition.data_gates
    if gates.near_duplicate_keys is None or not arrived:
        return
    held_out = set(gates.near_duplicate_keys(definition.examples(holdout).inputs))
    for name, rows in arrived.items():
        n = rows.num_rows
        outlines = gates.near_duplicate_keys(definition.examples(rows).inputs)
        alike = sum(outline in held_out for outline in outlines)
        yield Finding(
            gate="unlike the holdout",
            metric="rows that look alike",
            slice=name,
            passed=alike <= max(gates.near_duplicate_share * n, _CHANCE_ROWS),
            message=f"{alike:,} of {n:,} rows look like a row of the holdout, at most "
            f"{gates.near_duplicate_share:.1%} may",
            value=alike / n,
            bound=gates.near_duplicate_share,
            n=n,
        )
