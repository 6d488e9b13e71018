"""A person's decision about a version: approve it, reject it, or move the champion to it."""

from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import label_decided, run_name
from overnight.flows.run.identity import authenticate
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import await_confirmation, finish, finish_unfulfilled
from overnight.flows.steps.step import step
from overnight.store.errors import (
    AlreadyDecided,
    CollectedVersion,
    ConfigurationError,
    PromotionConflict,
    Unauthenticated,
    UnknownVersion,
)
from overnight.store.registry.promotions import Promotions
from overnight.tasks.reporting.report import RunReport

Decision = Literal["approve", "reject", "move"]


@flow(name="promote", flow_run_name=run_name, persist_result=False)
def promote(
    version: Version,
    model: ModelName,
    decision: Decision = "approve",
    requested_by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Decide about a version that waits, or move the champion to one that was approved before.

    The champion is read at the start of this run: a version that was compared with another
    champion than today's ends as Superseded.

    Args:
        version: The version, as `overnight versions` and the card of its run name it.
        model: The model it belongs to.
        decision: approve: it passed its gates and may serve. reject: never.
            move: it was approved before and shall serve again, whatever serves now.
        requested_by: The name of the person who decides.
        reason: Why, for the record.
        proof: Authenticates the person; `overnight approve`, `reject` and `promote` fill it in.
            Without it the name above is only claimed. A claim is refused for a model or version
            with manual approval as soon as any token is known, as after `overnight up`.
    """
    context = ModelContext.open(model, "administration")
    registry = context.registry
    champion = registry.champion_version()
    report = RunReport(model=model, champion=champion)
    try:
        manifest = registry.manifest(version)
        report = replace(report, manifest=manifest)
        actor = authenticate(
            context,
            "promote",
            requested_by=requested_by,
            proof=proof,
            statement={"version": version, "decision": decision, "reason": reason},
            verb=decision,
            manual=manifest.approval == "manual",
        )
    except (UnknownVersion, Unauthenticated) as error:
        return finish_unfulfilled(context, report, error)
    try:
        if decision == "reject":
            step(registry.decisions.decide)(version, "rejected", actor)
            label_decided(manifest.run.id, "Rejected")
            message = f"{version} will never serve: {actor.reason}"
            return finish(context, report, "Rejected", message)
        if decision == "approve":
            # A repeated approval finds the version itself as champion, and is no conflict.
            if champion not in {manifest.compared_with, version}:
                message = (
                    f"{version} was compared with {manifest.compared_with or 'no champion'}, and "
                    f"{champion or 'none'} serves now; retrain, or move the champion by the "
                    "decision `move` after an approval"
                )
                return finish(context, report, "Superseded", message)
            step(registry.decisions.decide)(version, "approved", actor)
            label_decided(manifest.run.id, "Approved")
        record = step(Promotions(registry).promote)(version, expected=champion, actor=actor)
    # Decided or promoted by somebody else; or it was never approved, or its files are deleted.
    except (AlreadyDecided, PromotionConflict, ConfigurationError, CollectedVersion) as error:
        return finish_unfulfilled(context, report, error)
    return await_confirmation(context, replace(report, champion=record.version), record, "Promoted")
