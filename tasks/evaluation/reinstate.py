"""Reconsider earlier versions: when a known regime returns, one of them is right again at once.

Before anything is trained, the last approved versions answer the rows that arrived tonight, beside
the champion. One that beats it there by the model's own paired gate is proposed in its place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples, Outputs
from overnight.models.gates import MinimumImprovement
from overnight.models.metrics.evaluation import Evaluation
from overnight.models.moving_holdout import DAY
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.manifest import DataLineage, Finding, Manifest
from overnight.tasks.data.admission import ARRIVAL_COLUMNS
from overnight.tasks.data.signature import same_tensors
from overnight.tasks.evaluation.evaluate import answers, compare_on_rows

LAST_VERSIONS = 5
_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Reinstated:
    """A version that beats the champion on tonight's rows, and the finding that shows it."""

    version: str
    finding: Finding

    def __str__(self) -> str:
        return f"{self.version} beats the champion on what arrived: {self.finding.message}"


def previous_champions(history: Sequence[AliasRecord]) -> tuple[str, ...]:
    """The versions that served last before the current one, newest first, each once.

    One that a person or a replica sent back does not return by itself.
    """
    if not history:
        return ()
    earlier = dict.fromkeys(record.version for record in reversed(history))
    earlier.pop(history[-1].version)
    sent_back: set[str | None] = set()
    for record in history:
        sent_back.discard(record.version)
        if record.action == "rolled back":
            sent_back.add(record.previous)
    return tuple(version for version in earlier if version not in sent_back)[:LAST_VERSIONS]


def is_eligible(earlier: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version could serve again as it is.

    Gates that were overruled for it once are not overruled for ever, and one that takes other
    tensors cannot be asked tonight's rows.
    """
    return earlier.override is None and same_tensors(earlier, definition)


def unseen_examples(
    definition: ModelDefinition,
    stamped: pa.Table,
    *,
    made_of: Sequence[DataLineage],
    seen: Collection[str],
) -> Examples | None:
    """The examples of a snapshot's rows that none of some versions has learned, if any.

    Those are of the arrivals that came since the newest was made; or where the holdout moves, of
    the days that all of them held out, asked with what was known before each.

    Args:
        stamped: the rows of the snapshot in the order in which they arrived, with their arrivals.
        made_of: what each of the versions was made of.
        seen: the arrivals that were there when the newest of them was made.
    """
    if definition.moving is not None:
        begins = [data.judged_from for data in made_of]
        held_out = [date.fromisoformat(begin) for begin in begins if begin is not None]
        if len(held_out) < len(begins):
            return None
        begin = (max(held_out) - _EPOCH).days
        before, rows = _parted(stamped, pc.less(stamped.column(DAY), begin))
        examples = definition.moving.examples(before, rows)
    else:
        known = pc.is_in(stamped.column("arrival"), pa.array(sorted(seen), pa.string()))
        before, rows = _parted(stamped, known)
        if not rows.num_rows:
            return None
        told = definition.arrived
        examples = definition.examples(rows) if told is None else told(before, rows)
    return examples if examples.n else None


def _parted(stamped: pa.Table, earlier: pa.ChunkedArray) -> tuple[pa.Table, pa.Table]:
    """The rows that are earlier and the others, in the source's own columns."""
    own = stamped.drop_columns(list(ARRIVAL_COLUMNS))
    return own.filter(earlier), own.filter(pc.invert(earlier))


def reconsider(
    definition: ModelDefinition,
    gate: MinimumImprovement,
    *,
    champion: tuple[str, bytes],
    earlier: Mapping[str, bytes],
    tonight: Examples,
) -> Reinstated | None:
    """The earlier version that most surely beats the champion on tonight's rows, if any does.

    As several are tried, each must pass at the gate's alpha divided by their number (Bonferroni).

    Args:
        champion: its version and its predictor.
        earlier: predictors by version.
    """
    if not earlier:
        return None
    strict = replace(gate, alpha=gate.alpha / len(earlier))
    serves, predictor = champion
    theirs = answers(predictor, tonight.inputs)
    beaten = [
        Reinstated(version, finding)
        for version, bytes_ in earlier.items()
        if (finding := _finding(definition, strict, serves, theirs, bytes_, tonight)) is not None
    ]
    return min(beaten, key=lambda one: one.finding.p or 0.0, default=None)


def _finding(
    definition: ModelDefinition,
    gate: MinimumImprovement,
    serves: str,
    theirs: Outputs,
    predictor: bytes,
    tonight: Examples,
) -> Finding | None:
    """The gate's finding on an earlier version; None unless the gate holds everywhere."""
    mine = answers(predictor, tonight.inputs)
    evaluation: Evaluation = compare_on_rows(definition, tonight, mine, theirs, champion=serves)
    findings = list(gate.findings(evaluation))
    holds = all(finding.passed and finding.applicable for finding in findings)
    return max(findings, key=lambda one: one.p or 0.0) if holds else None
