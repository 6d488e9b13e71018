"""Back to what served before, by one more record."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from flows import steps
from flows.ending import end, settle
from flows.house import House
from flows.parameters import ModelName, Version
from store.errors import PromotionConflict
from store.versions import read_manifest
from tasks.report import Story


@flow(name="rollback", persist_result=False)
def rollback(
    model: ModelName = "digits",
    to: Version | None = None,
    by: str = "operator",
    reason: str = "",
) -> State:
    """Point the champion back at what served before the current version.

    Args:
        model: The model to roll back.
        to: An approved version to go back to; empty for what the current one replaced.
        by: Who rolls back.
        reason: Why, for the record.
    """
    story = Story(model=model, champion=steps.champion(model))
    told = reason or f"rolled back by {by}"
    try:
        record = steps.roll_back(model, over=story.champion, to=to, by=by, reason=told)
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict))
    manifest = read_manifest(House.of(model).bucket, model, record.version)
    return settle(replace(story, manifest=manifest), record, "RolledBack")
