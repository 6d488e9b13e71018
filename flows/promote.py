"""A person's word about a version: approve it, reject it, or move the champion to it."""

from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.step import step
from overnight.store.errors import AlreadyDecided, PromotionConflict, Unauthenticated
from overnight.tasks.reporting.report import RunReport

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
    context = ModelContext.open(model)
    registry = context.registry
    manifest, serves = registry.manifest(version), registry.champion_version()
    story = RunReport(model=model, champion=serves, manifest=manifest)
    said = {"version": version, "decision": decision, "reason": reason}
    manual = manifest.approval == "manual"
    try:
        actor = authenticate(
            context, "promote", by=by, proof=proof, said=said, verb=decision, manual=manual
        )
        if decision == "reject":
            step(registry.decide)(version, "rejected", actor)
            return finish(context, story, "Rejected", f"{version} will never serve: {actor.reason}")
        if decision == "approve":
            if serves not in {manifest.compared_with, version}:
                why = _superseded(version, manifest.compared_with, serves)
                return finish(context, story, "Superseded", why)
            step(registry.decide)(version, "approved", actor)
        record = step(registry.promote)(version, expected=serves, actor=actor)
    except Unauthenticated as unknown:
        return finish(context, story, "Refused", str(unknown))
    except AlreadyDecided as decided:
        return finish(context, story, "Superseded", str(decided))
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict))
    return await_confirmation(context, replace(story, champion=record.version), record, "Promoted")


def _superseded(version: str, compared_with: str | None, serves: str | None) -> str:
    return (
        f"{version} was compared with {compared_with or 'no champion'}, and {serves or 'none'} "
        "serves now; retrain, or move the champion by the decision `move` after an approval"
    )
