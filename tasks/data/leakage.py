"""Leakage: training rows that are, or look like, rows of the holdout."""

from collections.abc import Iterator, Mapping

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.store.datasets.holdout_sets import FIRST
from overnight.store.registry.manifest import DataLineage, Finding

# In a small arrival, this many look-alikes may be chance.
_CHANCE_ROWS = 2
_NAMED_ARRIVALS = 5


def check_kept_out(rows: pa.Table, holdout: pa.Table) -> Finding:
    """The finding that no holdout row is a training row, by digest; names the arrivals of leaks."""
    shared = pc.is_in(rows.column("digest"), pc.unique(holdout.column("digest")))
    leaked = rows.filter(shared)
    details = ""
    if leaked.num_rows:
        details = f", the first of digest {leaked.column('digest')[0]}"
        if "arrival" in leaked.column_names:
            names = sorted(leaked.column("arrival").unique().to_pylist())[:_NAMED_ARRIVALS]
            details += f"; they came with {', '.join(names)}"
    return Finding(
        gate="holdout kept out",
        metric="holdout rows",
        passed=leaked.num_rows == 0,
        message=f"{leaked.num_rows:,} of {holdout.num_rows:,} holdout rows are among the "
        f"training rows{details}",
        value=leaked.num_rows,
        bound=0,
        direction="at most",
    )


def learned_holdout_rows(learned: DataLineage, now: DataLineage) -> bool:
    """Whether a version may have learned rows of the current holdout.

    A moving holdout moves back if arrivals are excluded later. A frozen one never changes, unless
    the dataset was replaced; of its sets, the version did not learn those that it was judged by,
    and those that were kept out of its rows.
    """
    if now.judged_from is None and now.judged_by:
        return not {*now.judged_by} <= {FIRST, *learned.judged_by, *learned.kept_out}
    if now.judged_from is None:
        # Digests of two formats say nothing about each other.
        if learned.digest_format != now.digest_format:
            return learned.holdout_rows != now.holdout_rows
        return learned.holdout_digest != now.holdout_digest
    return _knows_held_out(learned.judged_from, now.judged_from)


def _knows_held_out(learned_until: str | None, judged_from: str) -> bool:
    # ISO 8601 dates compare correctly as text.
    return learned_until is None or learned_until > judged_from


def check_unseen(champion: str, learned_until: str | None, judged_from: str) -> Finding:
    """The finding on days of the current holdout that the champion learned.

    Both dates are first days held out. A champion of an earlier run learned fewer days, unless
    arrivals were excluded since. Then the comparison favours the champion: an equal candidate may
    be refused, and no worse one can pass. So this fails no run, but no fit starts from its weights.
    """
    knows_held_out = _knows_held_out(learned_until, judged_from)
    learned = "all it was given" if learned_until is None else f"days before {learned_until}"
    message = f"{champion} learned {learned}, and the holdout begins on {judged_from}"
    if knows_held_out:
        message += ": the comparison favours it, and no fit starts from its weights"
    return Finding(
        gate="unseen by the champion",
        metric="days that judge",
        passed=True,
        applicable=not knows_held_out,
        message=message,
    )


def check_look_alikes(
    arrived: Mapping[str, pa.Table], holdout: pa.Table, definition: ModelDefinition
) -> Iterator[Finding]:
    """A finding for each arrival on rows that look like a holdout row but differ in bytes."""
    gates = definition.data_gates
    if gates.near_duplicate_keys is None or not arrived:
        return
    holdout_keys = set(gates.near_duplicate_keys(definition.examples(holdout).inputs))
    for name, rows in arrived.items():
        n = rows.num_rows
        row_keys = gates.near_duplicate_keys(definition.examples(rows).inputs)
        look_alikes = sum(key in holdout_keys for key in row_keys)
        yield Finding(
            gate="unlike the holdout",
            metric="rows that look alike",
            slice=name,
            passed=look_alikes <= max(gates.near_duplicate_share * n, _CHANCE_ROWS),
            message=f"{look_alikes:,} of {n:,} rows look like a row of the holdout, at most "
            f"{gates.near_duplicate_share:.1%} may",
            value=look_alikes / n,
            bound=gates.near_duplicate_share,
            direction="at most",
            n=n,
        )
