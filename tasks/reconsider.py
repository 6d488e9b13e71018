"""Reconsider earlier versions: when a known regime returns, one of them is right again at once.

Before anything is trained, the last approved versions answer the rows that arrived tonight, beside
the champion. One that beats it there by the model's own paired gate is proposed in its place.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace

import pyarrow as pa
import pyarrow.compute as pc

from models.definition import Examples, ModelDefinition, Outputs
from models.evaluation import Evaluation
from models.gates import MinimumImprovement
from store.aliases import AliasRecord
from store.manifest import Finding, Manifest
from tasks.evaluate import answers, compared
from tasks.tensors import same_tensors

LAST_VERSIONS = 5


@dataclass(frozen=True)
class Returned:
    """A version that beats the champion on tonight's rows, and the finding that shows it."""

    version: str
    finding: Finding

    def __str__(self) -> str:
        return f"{self.version} beats the champion on what arrived: {self.finding.message}"


def veterans(history: Sequence[AliasRecord]) -> tuple[str, ...]:
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


def may_return(earlier: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version could serve again as it is.

    Gates that were overruled for it once are not overruled for ever, and one that takes other
    tensors cannot be asked tonight's rows.
    """
    return earlier.override is None and same_tensors(earlier, definition)


def fresh(stamped: pa.Table, seen: Collection[str]) -> pa.Table:
    """The rows of a snapshot whose arrivals none of the versions that are asked has seen."""
    known = pc.is_in(stamped.column("arrival"), pa.array(sorted(seen), pa.string()))
    return stamped.filter(pc.invert(known))


def reconsider(
    definition: ModelDefinition,
    gate: MinimumImprovement,
    *,
    champion: tuple[str, bytes],
    earlier: Mapping[str, bytes],
    tonight: Examples,
) -> Returned | None:
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
        Returned(version, finding)
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
    evaluation: Evaluation = compared(definition, tonight, mine, theirs, champion=serves)
    findings = list(gate.findings(evaluation))
    holds = all(finding.passed and finding.applicable for finding in findings)
    return max(findings, key=lambda one: one.p or 0.0) if holds else None
