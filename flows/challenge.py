"""Start a shadow or canary challenge of the champion, or stop the one that runs."""

from contextlib import suppress
from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State
from pydantic import ValidationError

from overnight.flows.errors import IncompleteRequest
from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.identity import authenticate, is_manual
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import finish, finish_unfulfilled
from overnight.flows.steps.step import step
from overnight.store.errors import (
    CollectedVersion,
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
    Unauthenticated,
    UnknownVersion,
)
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenge_terms import Bound, Mode, Share, Terms
from overnight.store.trust.request_proof import Plain
from overnight.tasks.release.confirm import ChallengerConfirmation, await_challenger
from overnight.tasks.reporting.report import RunReport

# A version that is not named, does not exist or cannot serve; or somebody else was faster.
_UNFULFILLED = (
    IncompleteRequest,
    ConfigurationError,
    UnknownVersion,
    CollectedVersion,
    PromotionConflict,
)


@flow(name="challenge", flow_run_name=run_name, persist_result=False)
def challenge(
    model: ModelName,
    version: Version | None = None,
    action: Literal["start", "stop"] = "start",
    mode: Mode = "shadow",
    share: Share = 0.1,
    maximum_error_share: Bound = 0.01,
    maximum_disagreement_share: Bound = 0.05,
    maximum_slowdown: float = 2.0,
    minimum_requests: int = 200,
    approve: bool = False,
    requested_by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Give a version live traffic next to the champion, or stop that.

    Serving withdraws the version by itself when it exceeds its bounds.

    Args:
        model: The model whose champion is challenged.
        version: The version that challenges; to stop, empty for any.
        action: start: let it challenge. stop: end the challenge that runs.
        mode: shadow: answers are compared, never returned. canary: answers a share of the clients.
        share: Share of the requests (shadow) or clients (canary); more than 0, at most 1.
        maximum_error_share: Share of its requests that may fail.
        maximum_disagreement_share: Share of its answers that may differ from the champion's.
        maximum_slowdown: CPU time of an answer, as a multiple of the champion's.
        minimum_requests: Requests before it can be withdrawn.
        approve: Approve the version first, as a canary has to be, without promoting it.
        requested_by: The name of the person who starts or stops.
        reason: Why, for the record.
        proof: Authenticates the person; `overnight challenge` fills it in. Without it the name
            above is only claimed. A claim is refused for a model or version with manual approval as
            soon as any token is known, as after `overnight up`.
    """
    bounds = {
        "maximum_error_share": maximum_error_share,
        "maximum_disagreement_share": maximum_disagreement_share,
        "maximum_slowdown": maximum_slowdown,
        "minimum_requests": minimum_requests,
    }
    # The command line signs these names: a changed bound or mode makes the proof invalid.
    statement: dict[str, Plain] = {"action": action, "version": version, "reason": reason}
    if action == "start":
        statement |= {"mode": mode, "share": share, "approve": approve, **bounds}
    context = ModelContext.open(model, "administration")
    report = RunReport(model=model, champion=step(context.registry.champion_version)())
    try:
        # Stopping a challenge decides about no version.
        manual = action == "start" and version is not None and is_manual(context, version)
        actor = authenticate(
            context,
            "challenge",
            requested_by=requested_by,
            proof=proof,
            statement=statement,
            verb=action,
            manual=manual,
        )
    except (Unauthenticated, UnknownVersion) as error:
        return finish_unfulfilled(context, report, error)
    if action == "stop":
        return _stop(context, report, actor, expected=version)
    try:
        if version is None:
            raise IncompleteRequest("no version was named; name the one that shall challenge")
        terms = Terms.model_validate({"mode": mode, "share": share, **bounds})
        report = replace(report, manifest=context.registry.manifest(version))
        if approve:
            step(context.registry.decisions.decide)(version, "approved", actor)
        record = step(context.challenges.start)(version, terms=terms, actor=actor)
    except ValidationError as error:
        return finish(context, report, "InvalidRequest", str(error))
    except _UNFULFILLED as error:
        return finish_unfulfilled(context, report, error)
    confirmation = await_replicas(context, record)
    if confirmation.is_refused:
        # Somebody may have stopped it meanwhile and started another: that one is left alone.
        with suppress(NoChallenge, PromotionConflict):
            step(context.challenges.stop)(Actor("confirm", str(confirmation)), expected=version)
        return finish(context, report, "Refused", str(confirmation))
    message = f"{mode} of {share:.0%}; {confirmation}"
    return finish(
        context, report, "Challenging" if confirmation.is_complete else "Unconfirmed", message
    )


def _stop(context: ModelContext, report: RunReport, actor: Actor, *, expected: str | None) -> State:
    try:
        record = step(context.challenges.stop)(actor, expected=expected)
    except NoChallenge as error:
        return finish(context, report, "UpToDate", str(error))
    except PromotionConflict as error:
        return finish(context, report, "Superseded", str(error))
    message = f"{record.version} challenges no more: {actor.reason}"
    return finish(context, report, "Stopped", message)


@step
def await_replicas(context: ModelContext, record: AliasRecord) -> ChallengerConfirmation:
    """Wait until every replica has acknowledged or refused the challenger."""
    return await_challenger(
        context.challenges.log,
        record,
        replicas=context.settings.replicas,
        seconds=context.settings.confirm_seconds,
    )
