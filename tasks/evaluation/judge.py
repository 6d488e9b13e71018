"""Judge a candidate: ask every gate and keep every finding."""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.models.gates import Gate, WithinBudget
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding

# A state's message is one line; the card of the run has every finding.
_TOLD = 3


@dataclass(frozen=True)
class Verdict:
    """What all gates said."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The findings that stand in the way."""
        return tuple(finding for finding in self.findings if not finding.passed)

    @property
    def by_cost_alone(self) -> bool:
        """Whether only the budget refused, or answers that serving changed.

        The first speaks of this machine tonight, too; the second of code that is not a model's,
        and so not in its fingerprint.
        """
        return bool(self.refused) and all(
            finding.gate == WithinBudget.__name__ or finding.metric.endswith("over HTTP")
            for finding in self.refused
        )

    def __str__(self) -> str:
        if self.passed:
            return f"all {len(self.findings)} findings hold"
        told = "; ".join(f"{finding.name}: {finding.message}" for finding in self.refused[:_TOLD])
        more = len(self.refused) - _TOLD
        return told + (f"; and {more} more" if more > 0 else "")


def judge(evaluation: Evaluation, gates: Sequence[Gate]) -> Verdict:
    """Ask every gate, and keep every finding.

    A refusal is an answer, not an error: the run completes and says why.

    Raises:
        ConfigurationError: no gate is declared, or one says nothing, so nothing could be refused.
    """
    if not gates:
        raise ConfigurationError(
            "no gate is declared for this model, so nothing could be refused; declare at least one"
        )
    findings: list[Finding] = []
    for gate in gates:
        found = tuple(gate.findings(evaluation))
        if not found:
            raise ConfigurationError(
                f"{type(gate).__name__} found nothing to say, so it could refuse nothing; "
                "expected a finding for each slice, at least one; correct the gate"
            )
        findings += found
    return Verdict(tuple(findings))
