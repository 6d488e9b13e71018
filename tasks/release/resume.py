"""Recall what is already known of a fingerprint, so that nothing is done twice."""

from dataclasses import dataclass
from enum import StrEnum

from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.evaluation.judge import Verdict


class Progress(StrEnum):
    """How far an earlier run of the same fingerprint came."""

    NOTHING = "nothing"
    REFUSED = "refused by its gates"
    UNDECIDED = "published, not decided"
    UNPROMOTED = "approved, never promoted"
    UNCONFIRMED = "promoted, not confirmed by the replicas"
    SETTLED = "settled"


@dataclass(frozen=True)
class PriorRun:
    """What is known, and the version it is known of; a refused candidate has none."""

    progress: Progress
    version: str | None = None
    message: str = ""


def find_prior_run(
    registry: ModelRegistry, fingerprint: str, *, champion: str | None, replicas: int
) -> PriorRun:
    """Whether this data, code, settings and seed were trained before, and what became of it.

    A refusal counts beside the champion that it was compared with; a promotion counts once as
    many `replicas` serve it.
    """
    version = registry.covering(fingerprint)
    refusal = registry.refusal(fingerprint, compared_with=champion)
    refused = PriorRun(Progress.NOTHING)
    if refusal is not None:
        told = f"the same was refused on {refusal.at:%d %B}: {Verdict(refusal.findings)}"
        refused = PriorRun(Progress.REFUSED, message=told)
    if version is None:
        return refused
    found = _decided(registry, version, replicas)
    # One that was overtaken is judged anew beside today's champion, and that may be known, too.
    overtaken = registry.manifest(version).compared_with != champion
    open_ = found.progress in {Progress.UNDECIDED, Progress.UNPROMOTED}
    return refused if refusal is not None and open_ and overtaken else found


def _decided(registry: ModelRegistry, version: str, replicas: int) -> PriorRun:
    """How far a published version came."""
    decision = registry.decision(version)
    if decision is None:
        return PriorRun(Progress.UNDECIDED, version, f"{version} waits for a decision")
    if decision.verdict == "rejected":
        told = f"{version} covers it; {decision.by} rejected it: {decision.reason}"
        return PriorRun(Progress.SETTLED, version, told)
    return _promoted(registry.champion, version, replicas)


def _promoted(log: AliasLog, version: str, replicas: int) -> PriorRun:
    """How far an approved version came."""
    history = log.history()
    if all(record.version != version for record in history):
        return PriorRun(
            Progress.UNPROMOTED, version, f"{version} is approved and was never promoted"
        )
    newest = history[-1]
    if newest.version != version:
        return PriorRun(Progress.SETTLED, version, f"{version} covers it; {newest.version} serves")
    serving = sum(word.serving for word in log.acknowledgements(newest.sequence))
    if serving < replicas:
        told = f"{version} is champion and not yet confirmed"
        return PriorRun(Progress.UNCONFIRMED, version, told)
    return PriorRun(Progress.SETTLED, version, f"{version} covers it and serves")
