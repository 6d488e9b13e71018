"""Recall what is already known of a fingerprint, so that nothing is done twice."""

from dataclasses import dataclass
from enum import StrEnum

from store.aliases import AliasLog
from store.bucket import Bucket
from store.decisions import read_decision
from store.refusals import read_refusal
from store.versions import covering
from tasks.judge import Verdict


class Known(StrEnum):
    """How far an earlier run of the same fingerprint came."""

    NOTHING = "nothing"
    REFUSED = "refused by its gates"
    UNDECIDED = "published, not decided"
    APPROVED = "approved, never promoted"
    SETTLED = "settled"


@dataclass(frozen=True)
class Memory:
    """What is known, and the version it is known of; a refused candidate has none."""

    known: Known
    version: str | None = None
    told: str = ""


def recall(bucket: Bucket, model: str, fingerprint: str) -> Memory:
    """Whether this data, code, settings and seed were trained before, and what became of it."""
    version = covering(bucket, model, fingerprint)
    if version is None:
        refusal = read_refusal(bucket, model, fingerprint)
        if refusal is None:
            return Memory(Known.NOTHING)
        told = f"the same was refused on {refusal.at:%d %B}: {Verdict(refusal.findings)}"
        return Memory(Known.REFUSED, told=told)
    decision = read_decision(bucket, model, version)
    if decision is None:
        return Memory(Known.UNDECIDED, version, f"{version} waits for a decision")
    if decision.verdict == "rejected":
        return Memory(
            Known.SETTLED,
            version,
            f"{version} covers it; {decision.by} rejected it: {decision.reason}",
        )
    history = AliasLog(bucket, model).history()
    if all(record.version != version for record in history):
        return Memory(Known.APPROVED, version, f"{version} is approved and was never promoted")
    serves = history[-1].version == version
    told = f"{version} covers it" + (" and serves" if serves else f"; {history[-1].version} serves")
    return Memory(Known.SETTLED, version, told)
