"""The progress of earlier runs with the same fingerprint, so that no work is done twice."""

from dataclasses import dataclass
from enum import StrEnum

from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.evaluation.judge import Verdict


class PriorProgress(StrEnum):
    """The last step that an earlier run of the same fingerprint completed."""

    NOTHING = "nothing"
    REFUSED = "refused by its gates"
    UNDECIDED = "published, not decided"
    UNPROMOTED = "approved, never promoted"
    UNCONFIRMED = "promoted, not confirmed by the replicas"
    SETTLED = "settled"


@dataclass(frozen=True)
class PriorRun:
    """The progress of an earlier run, and its version; a refused candidate has none."""

    progress: PriorProgress
    version: str | None = None
    message: str = ""


def find_prior_run(
    registry: ModelRegistry, fingerprint: str, *, champion: str | None, replicas: int
) -> PriorRun:
    """The progress of the newest run with this data, code, settings and seed.

    A refusal counts only while the champion is the one that it was compared with. A promotion is
    settled once `replicas` serve it.
    """
    version = registry.find_by_fingerprint(fingerprint)
    refusal = registry.refusals.find(fingerprint, compared_with=champion)
    refused = PriorRun(PriorProgress.NOTHING)
    if refusal is not None:
        message = f"this fingerprint was refused on {refusal.at:%d %B}: {Verdict(refusal.findings)}"
        refused = PriorRun(PriorProgress.REFUSED, message=message)
    if version is None:
        return refused
    prior = _published_progress(registry, version, replicas)
    # A version compared with an earlier champion is judged again, and may have been refused since.
    overtaken = registry.manifest(version).compared_with != champion
    is_open = prior.progress in {PriorProgress.UNDECIDED, PriorProgress.UNPROMOTED}
    return refused if refusal is not None and is_open and overtaken else prior


def _published_progress(registry: ModelRegistry, version: str, replicas: int) -> PriorRun:
    """The progress of a published version."""
    decision = registry.decisions.find(version)
    if decision is None:
        return PriorRun(PriorProgress.UNDECIDED, version, f"{version} awaits a decision")
    if decision.verdict == "rejected":
        message = f"{version} has this fingerprint; {decision.by} rejected it: {decision.reason}"
        return PriorRun(PriorProgress.SETTLED, version, message)
    return _approved_progress(registry.champion, version, replicas)


def _approved_progress(log: AliasLog, version: str, replicas: int) -> PriorRun:
    """The progress of an approved version."""
    history = log.history()
    if all(record.version != version for record in history):
        message = f"{version} is approved and was never promoted"
        return PriorRun(PriorProgress.UNPROMOTED, version, message)
    newest = history[-1]
    if newest.version != version:
        message = f"{version} has this fingerprint; {newest.version} serves"
        return PriorRun(PriorProgress.SETTLED, version, message)
    serving = [reply.replica for reply in log.acknowledgements(newest.sequence) if reply.serving]
    if len(serving) < replicas:
        message = f"{version} is champion and not yet confirmed"
        return PriorRun(PriorProgress.UNCONFIRMED, version, message)
    return PriorRun(PriorProgress.SETTLED, version, f"{version} has this fingerprint and serves")
