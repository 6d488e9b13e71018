"""Judges a candidate: runs every gate and keeps every finding."""

from collections.abc import Sequence
from dataclasses import dataclass

from overnight.models.gates import Gate, WithinBudget
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding

# The message of a Prefect state is one line; the report of the run has every finding.
_SHOWN = 3


@dataclass(frozen=True)
class Verdict:
    """The findings of all gates."""

    findings: tuple[Finding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)

    @property
    def refused(self) -> tuple[Finding, ...]:
        """The failed findings."""
        return tuple(finding for finding in self.findings if not finding.passed)

    @property
    def by_cost_alone(self) -> bool:
        """Whether only the resource budget failed, or answers that changed in serving.

        Such a refusal is not recorded for the fingerprint: the budget also depends on the machine
        and its load, and serving's code is not part of the fingerprint.
        """
        return bool(self.refused) and all(
            finding.gate == WithinBudget.__name__ or finding.metric.endswith("over HTTP")
            for finding in self.refused
        )

    def __str__(self) -> str:
        if self.passed:
            return f"all {len(self.findings)} findings hold"
        message = "; ".join(
            f"{finding.name}: {finding.message}" for finding in self.refused[:_SHOWN]
        )
        more = len(self.refused) - _SHOWN
        return message + (f"; and {more} more" if more > 0 else "")


def judge(evaluation: Evaluation, gates: Sequence[Gate]) -> Verdict:
    """Run every gate; a refusal is a result, not an error.

    Raises:
        ConfigurationError: no gate is declared, or one returned no finding, so every candidate
            would pass.
    """
    if not gates:
        raise ConfigurationError(
            "no gate is declared for this model, so every candidate would pass; declare one"
        )
    findings: list[Finding] = []
    for gate in gates:
        own_findings = tuple(gate.findings(evaluation))
        # It would let every candidate pass unnoticed.
        if not own_findings:
            raise ConfigurationError(
                f"{type(gate).__name__} returned no finding, so every candidate would pass it; "
                "expected a finding for each slice, at least one; correct the gate"
            )
        findings += own_findings
    return Verdict(tuple(findings))
