"""Judges a candidate: runs every gate and keeps every finding."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from overnight.models.examples import Examples
from overnight.models.gates import (
    BetterThan,
    Gate,
    MaximumRegression,
    MinimumImprovement,
    WithinBudget,
)
from overnight.models.gates.champion import UNDECIDED
from overnight.models.gates.comparing import with_champion
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Finding

# The message of a Prefect state is one line; the report of the run has every finding.
_SHOWN = 3
_COMPARISONS = (BetterThan, MaximumRegression, MinimumImprovement)


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
    def _judged(self) -> tuple[Finding, ...]:
        """Those that were applicable; a comparison without a champion is not."""
        return tuple(each for each in self.findings if each.applicable or not each.passed)

    @property
    def undecided(self) -> str:
        """Why a person must decide: no gate could compare with the champion; empty if all could.

        The champion cannot answer the rows, because the model's features, outputs or classes
        changed.
        """
        return next(
            (
                finding.message
                for finding in self.findings
                if not finding.applicable and finding.message.startswith(UNDECIDED)
            ),
            "",
        )

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
            return f"all {len(self._judged)} gates passed"
        count = f"{len(self.refused)} of {len(self._judged)} gates failed"
        shown = self.refused[:_SHOWN]
        # Of further slices of one comparison only what differs.
        message = "; ".join(
            f"{finding.slice or 'all rows'} {finding.change}"
            if _is_same_comparison(finding, before)
            else finding.brief
            for before, finding in zip((None, *shown), shown, strict=False)
        )
        more = len(self.refused) - len(shown)
        return f"{count}: {message}" + (f"; and {more} more" if more > 0 else "")


def _is_same_comparison(finding: Finding, before: Finding | None) -> bool:
    return (
        before is not None
        and finding.p is not None
        and finding.value is not None
        and finding.holdout == before.holdout
        and (finding.gate, finding.metric) == (before.gate, before.metric)
    )


def check_attainable(gates: Sequence[Gate], holdout: Examples) -> None:
    """Check, before anything is trained, that a frozen holdout has the rows that gates compare.

    Raises:
        ConfigurationError: a comparison needs more rows than there are, so it would refuse every
            candidate for ever; with the numbers.
    """
    rows = {"": holdout.n} | {name: int(mask.sum()) for name, mask in holdout.slices.items()}
    for gate in gates:
        if isinstance(gate, _COMPARISONS):
            for slice in gate.slices:
                may_be_missing = isinstance(gate, MaximumRegression) and gate.optional and slice
                if not may_be_missing and rows.get(slice, gate.minimum_rows) < gate.minimum_rows:
                    raise _unattainable(gate, slice, rows[slice], gate.minimum_rows)


def judge(
    evaluation: Evaluation, gates: Sequence[Gate], *, frozen_holdout: bool = False
) -> Verdict:
    """Run every gate, on both sets of a holdout while two judge; a refusal is a result.

    Args:
        frozen_holdout: the rows are the same in every run, so too few of them are no refusal that
            another candidate could avoid.

    Raises:
        ConfigurationError: no gate is declared, or one returned no finding, so every candidate
            would pass; or a frozen holdout has too few rows for one, so none ever would.
    """
    if not gates:
        raise ConfigurationError(
            "no gate is declared for this model, so every candidate would pass; declare one"
        )
    findings = _findings(evaluation, gates, frozen_holdout=frozen_holdout)
    for older in evaluation.older:
        # Every row was served in the same rehearsal.
        served = replace(older, rehearsal=evaluation.rehearsal)
        findings += _findings(served, gates, frozen_holdout=frozen_holdout)
    return Verdict(tuple(findings))


def _findings(
    evaluation: Evaluation, gates: Sequence[Gate], *, frozen_holdout: bool
) -> list[Finding]:
    """The findings of all gates on one set of rows."""
    findings: list[Finding] = []
    for gate in gates:
        own_findings = tuple(gate.findings(evaluation))
        # It would let every candidate pass unnoticed.
        if not own_findings:
            raise ConfigurationError(
                f"{type(gate).__name__} returned no finding, so every candidate would pass it; "
                "expected a finding for each slice, at least one; correct the gate"
            )
        if frozen_holdout:
            _check_rows(gate, own_findings, evaluation)
        findings += [
            each.model_copy(update={"holdout": evaluation.holdout}) if evaluation.holdout else each
            for each in own_findings
        ]
    return findings


def _check_rows(gate: Gate, findings: Sequence[Finding], evaluation: Evaluation) -> None:
    """Check that no finding failed for too few rows, nor will once there is a champion."""
    minimum = getattr(gate, "minimum_rows", 0)
    for finding in findings:
        n = finding.n
        # Which rows the champion can answer changes with the champion.
        if evaluation.champion is not None and finding.message.startswith(UNDECIDED):
            continue
        if not finding.applicable and isinstance(gate, _COMPARISONS) and n is None:
            # No champion yet: compared with itself, a candidate has as many units as ever.
            itself = replace(evaluation, champion_rows=evaluation.rows)
            compared = with_champion(itself, gate.metric, finding.slice)
            n = None if isinstance(compared, str) else compared.n
        elif finding.passed:
            continue
        if n is not None and n < minimum:
            raise _unattainable(gate, finding.slice, n, minimum)


def _unattainable(gate: Gate, slice: str, n: int, minimum: int) -> ConfigurationError:
    where = f"the slice {slice!r} of the holdout" if slice else "the holdout"
    return ConfigurationError(
        f"{type(gate).__name__} can never hold: {where} has {n:,} rows, and it needs at least "
        f"{minimum:,}; bring a larger holdout, or declare minimum_rows={n} or less in the model's "
        "gates where so few can prove enough"
    )
