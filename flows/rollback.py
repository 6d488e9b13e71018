"""Back to what served before, by one more record."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate, is_manual
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.step import step
from overnight.store.errors import PromotionConflict, Unauthenticated
from overnight.store.trust.request_proof import Plain
from overnight.tasks.reporting.report import RunReport


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
    story = RunReport(model=model, champion=step(registry.champion_version)())
    manual = to is not None and is_manual(context, to)
    said: dict[str, Plain] = {"to": to, "reason": reason}
    try:
        actor = authenticate(
            context, "rollback", by=by, proof=proof, said=said, verb="rolled back", manual=manual
        )
        record = step(registry.roll_back)(expected=story.champion, to=to, actor=actor)
    except Unauthenticated as unknown:
        return finish(context, story, "Refused", str(unknown))
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict))
    manifest = registry.manifest(record.version)
    return await_confirmation(context, replace(story, manifest=manifest), record, "RolledBack")
