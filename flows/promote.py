"""A person's word about a version: approve it, reject it, or move the champion to it."""

from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows import steps
from flows.ending import end, settle
from flows.house import House
from flows.parameters import ModelName, Version
from store.aliases import AliasLog
from store.errors import AlreadyDecided, PromotionConflict
from store.versions import read_manifest
from tasks.report import Story

Decision = Literal["approve", "reject", "move"]


@flow(name="promote", persist_result=False)
def promote(
    version: Version,
    model: ModelName = "digits",
    decision: Decision = "approve",
    by: str = "operator",
    reason: str = "",
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
    """
    bucket = House.of(model).bucket
    manifest = read_manifest(bucket, model, version)
    current = AliasLog(bucket, model).current()
    serves = current.version if current else None
    story = Story(model=model, champion=serves, manifest=manifest)
    told = reason or f"{decision} by {by}"
    try:
        if decision == "reject":
            steps.reject(model, version, by=by, reason=told)
            return end(story, "Rejected", f"{version} will never serve: {told}")
        if decision == "approve":
            if serves not in {manifest.compared_with, version}:
                return end(
                    story, "Superseded", _superseded(version, manifest.compared_with, serves)
                )
            steps.approve(model, version, by=by, reason=told)
        record = steps.promote(model, version, over=serves, by=by, reason=told)
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
