"""Reinstates an earlier version when a known regime of the data returns.

Before training, the last champions answer the new rows, as the current champion does. The one that
beats it there by the model's own paired gate is proposed in its place.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples
from overnight.models.gates import MinimumImprovement
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.moving_holdout import day_column
from overnight.store.errors import IncomparableVersions
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.manifest import DataLineage, Finding, Manifest
from overnight.tasks.data.signature import same_tensors
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS
from overnight.tasks.evaluation.evaluate import compare_on_rows
from overnight.tasks.evaluation.published import PublishedPredictor, rows_of_both

LAST_VERSIONS = 5
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Reinstated:
    """An earlier version that beats the champion on the new rows, and the finding that shows it."""

    version: str
    finding: Finding

    def __str__(self) -> str:
        return f"{self.version} beats the champion on the new arrivals: {self.finding.message}"


def previous_champions(history: Sequence[AliasRecord]) -> tuple[str, ...]:
    """The last champions before the current one, newest first, each once.

    A version that was rolled back is left out: it does not return automatically.
    """
    if not history:
        return ()
    earlier = dict.fromkeys(record.version for record in reversed(history))
    earlier.pop(history[-1].version)
    rolled_back: set[str | None] = set()
    for record in history:
        rolled_back.discard(record.version)
        if record.action == "rolled back":
            rolled_back.add(record.previous)
    return tuple(version for version in earlier if version not in rolled_back)[:LAST_VERSIONS]


def is_eligible(earlier: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version may be reinstated.

    An override holds for one promotion only, and a version with other tensors cannot answer the
    new rows.
    """
    return earlier.override is None and same_tensors(earlier, definition)


def unseen_examples(
    definition: ModelDefinition,
    stamped: pa.Table,
    *,
    lineages: Sequence[DataLineage],
    known_arrivals: Collection[str],
) -> Examples | None:
    """The examples in a snapshot that none of some versions has learned; None if there are none.

    These are the arrivals since the newest version was made; where the holdout moves, the days
    that all versions held out, each with only the rows before it as its history.

    Args:
        stamped: the rows of the snapshot in order of arrival, with the arrival columns.
        lineages: the data that each of the versions was made from.
        known_arrivals: the arrivals in the dataset when the newest of them was made.
    """
    if definition.moving_holdout is not None:
        begins = [data.judged_from for data in lineages]
        held_out = [date.fromisoformat(begin) for begin in begins if begin is not None]
        # A version without a held-out window has learned every day.
        if len(held_out) < len(begins):
            return None
        # No version has learned the days from its own first held-out day on.
        begin = (max(held_out) - _EPOCH).days
        before, rows = _parted(stamped, pc.less(day_column(stamped), begin))
        examples = definition.moving_holdout.examples(before, rows)
    else:
        is_known = pc.is_in(
            stamped.column("arrival"), pa.array(sorted(known_arrivals), pa.string())
        )
        before, rows = _parted(stamped, is_known)
        if not rows.num_rows:
            return None
        from_arrived = definition.arrival_examples
        examples = definition.examples(rows) if from_arrived is None else from_arrived(before, rows)
    return examples if examples.n else None


def _parted(stamped: pa.Table, earlier: pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """The earlier rows and the others, without the arrival columns."""
    own = stamped.drop_columns(list(ARRIVAL_COLUMNS))
    return own.filter(earlier), own.filter(pc.invert(earlier))


def reconsider(
    definition: ModelDefinition,
    gate: MinimumImprovement,
    *,
    champion: PublishedPredictor,
    earlier: Sequence[PublishedPredictor],
    examples: Examples,
    looks: int = 1,
) -> Reinstated | None:
    """The earlier version that beats the champion with the lowest p-value, or None.

    Each must pass at the gate's alpha divided by the number of versions (Bonferroni correction).
    The rows grow from run to run until another version is made, and are tested anew each time, so
    the alpha is spent over the looks: of look k the share 1 / k(k + 1), which sum to one. However
    often it is tested, a version that is no better is proposed with probability at most alpha.

    Args:
        examples: labelled examples that none of these versions has learned.
        looks: at most how often these rows were tested, this time included.
    """
    if not earlier:
        return None
    strict = replace(gate, alpha=gate.alpha / len(earlier) / (looks * (looks + 1)))
    better = []
    for version in earlier:
        try:
            evaluation = _compared(definition, version, champion, examples)
        except IncomparableVersions:
            continue
        findings = list(strict.findings(evaluation))
        # It must pass on every slice; its weakest finding stands for all.
        if all(finding.passed and finding.applicable for finding in findings):
            better.append(Reinstated(version.version, max(findings, key=_p_value)))
    return min(better, key=lambda reinstated: _p_value(reinstated.finding), default=None)


def _compared(
    definition: ModelDefinition,
    version: PublishedPredictor,
    champion: PublishedPredictor,
    examples: Examples,
) -> Evaluation:
    """An earlier version and the champion on the rows that both can answer.

    Raises:
        IncomparableVersions: there is none.
    """
    rows, _ = rows_of_both(definition, (version, champion), examples)
    outputs, champion_outputs = (
        each.answers(definition, rows.inputs) for each in (version, champion)
    )
    return compare_on_rows(definition, rows, outputs, champion_outputs, champion=champion.version)


def _p_value(finding: Finding) -> float:
    return finding.p or 0.0
