"""Roll the champion back to an earlier version, by appending one more alias record."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.identity import authenticate, is_manual
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import await_confirmation, finish_unfulfilled
from overnight.flows.steps.step import step
from overnight.store.errors import (
    CollectedVersion,
    ConfigurationError,
    PromotionConflict,
    Unauthenticated,
    UnknownVersion,
)
from overnight.store.registry.promotions import Promotions
from overnight.tasks.reporting.report import RunReport


@flow(name="rollback", flow_run_name=run_name, persist_result=False)
def rollback(
    model: ModelName,
    to: Version | None = None,
    requested_by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Point the champion back at the version that served before the current one.

    Args:
        model: The model to roll back.
        to: An approved version to go back to; empty for the one that the current one replaced.
        requested_by: The name of the person who rolls back.
        reason: Why, for the record.
        proof: Authenticates the person; `overnight rollback` fills it in. Without it the name above
            is only claimed. A claim is refused for a model or version with manual approval as soon
            as any token is known, as after `overnight up`.
    """
    context = ModelContext.open(model, "administration")
    registry = context.registry
    report = RunReport(model=model, champion=step(registry.champion_version)())
    try:
        actor = authenticate(
            context,
            "rollback",
            requested_by=requested_by,
            proof=proof,
            statement={"to": to, "reason": reason},
            verb="rolled back",
            manual=to is not None and is_manual(context, to),
        )
    except (Unauthenticated, UnknownVersion) as error:
        return finish_unfulfilled(context, report, error)
    try:
        record = step(Promotions(registry).roll_back)(expected=report.champion, to=to, actor=actor)
    # Nothing served before, what was named cannot serve, or somebody else was faster.
    except (ConfigurationError, UnknownVersion, CollectedVersion, PromotionConflict) as error:
        return finish_unfulfilled(context, report, error)
    manifest = registry.manifest(record.version)
    return await_confirmation(context, replace(report, manifest=manifest), record, "RolledBack")
