"""A person's word about a version: approve it, reject it, or move the champion to it."""

from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows import decision_steps
from flows.ending import end, settle
from flows.hearing import for_people, word_of
from flows.house import House
from flows.parameters import ModelName, Version
from store.aliases import AliasLog
from store.errors import AlreadyDecided, NotProved, PromotionConflict
from store.registry.registry import ModelRegistry
from tasks.report import Story

Decision = Literal["approve", "reject", "move"]


@flow(name="promote", persist_result=False)
def promote(
    version: Version,
    model: ModelName,
    decision: Decision = "approve",
    by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Decide about a version that waits, or move the champion to one that was approved before.

    What the world became since is read anew: a version that was compared with another champion
    than today's ends as Superseded.

    Args:
        version: The version, as `overnight versions` and the card of its run name it.
        model: The model it belongs to.
        decision: approve: it passed its gates and may serve. reject: never.
            move: it was approved before and shall serve again, whatever serves now.
        by: Who decides.
        reason: Why, for the record.
        proof: Who it is; `overnight approve`, `reject` and `promote` fill it in. Empty, the name
            above is only claimed, and refused where people decide and any token is known, as after
            `overnight up`.
    """
    house = House.of(model)
    bucket = house.bucket
    manifest = ModelRegistry(bucket, model).manifest(version)
    current = AliasLog(bucket, model).current()
    serves = current.version if current else None
    story = Story(model=model, champion=serves, manifest=manifest)
    said = {"version": version, "decision": decision, "reason": reason}
    manual = for_people(house, version)
    try:
        word = word_of(house, "promote", by=by, proof=proof, said=said, manual=manual)
        told = reason or f"{decision} by {word.by}"
        if decision == "reject":
            decision_steps.reject(model, version, word=word, reason=told)
            return end(story, "Rejected", f"{version} will never serve: {told}")
        if decision == "approve":
            if serves not in {manifest.compared_with, version}:
                return end(
                    story, "Superseded", _superseded(version, manifest.compared_with, serves)
                )
            decision_steps.approve(model, version, word=word, reason=told)
        record = decision_steps.promote(model, version, over=serves, word=word, reason=told)
    except NotProved as unknown:
        return end(story, "Refused", str(unknown))
    except AlreadyDecided as decided:
        return end(story, "Superseded", str(decided))
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict))
    return settle(replace(story, champion=record.version), record, "Promoted")


def _superseded(version: str, compared_with: str | None, serves: str | None) -> str:
    return (
        f"{version} was compared with {compared_with or 'no champion'}, and {serves or 'none'} "
        "serves now; retrain, or move the champion by the decision `move` after an approval"
    )
