"""Back to what served before, by one more record."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from flows.ending import end, settle
from flows.hearing import authenticate, is_manual
from flows.parameters import ModelName, Version
from flows.run.context import ModelContext
from flows.steps import step
from store.errors import NotProved, PromotionConflict
from store.request_proof import Plain
from tasks.report import Story


@flow(name="rollback", persist_result=False)
def rollback(
    model: ModelName,
    to: Version | None = None,
    by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Point the champion back at what served before the current version.

    Args:
        model: The model to roll back.
        to: An approved version to go back to; empty for what the current one replaced.
        by: Who rolls back.
        reason: Why, for the record.
        proof: Who it is; `overnight rollback` fills it in. Empty, the name above is only claimed,
            and refused where people decide and any token is known, as after `overnight up`.
    """
    context = ModelContext.open(model)
    registry = context.registry
    story = Story(model=model, champion=step(registry.champion_version)())
    manual = to is not None and is_manual(context, to)
    said: dict[str, Plain] = {"to": to, "reason": reason}
    try:
        actor = authenticate(
            context, "rollback", by=by, proof=proof, said=said, verb="rolled back", manual=manual
        )
        record = step(registry.roll_back)(expected=story.champion, to=to, actor=actor)
    except NotProved as unknown:
        return end(context, story, "Refused", str(unknown))
    except PromotionConflict as conflict:
        return end(context, story, "Superseded", str(conflict))
    manifest = registry.manifest(record.version)
    return settle(context, replace(story, manifest=manifest), record, "RolledBack")
