"""Let a version challenge the champion, or stop the one that does."""

from contextlib import suppress
from dataclasses import replace
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.identity import authenticate, is_manual
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.store.errors import (
    ConfigurationError,
    NoChallenge,
    PromotionConflict,
    Unauthenticated,
)
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.challenge_terms import Bound, Mode, Share, Terms
from overnight.store.trust.request_proof import Plain
from overnight.tasks.release.confirm import ChallengerConfirmation, await_challenger
from overnight.tasks.reporting.report import RunReport


@flow(name="challenge", persist_result=False)
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
    by: str = "operator",
    reason: str = "",
    proof: str = "",
) -> State:
    """Try a version on live traffic beside the champion, or stop trying.

    Serving withdraws it by itself when it leaves its bounds.

    Args:
        model: The model whose champion is challenged.
        version: The version that challenges; to stop, empty for whichever does.
        action: start: let it challenge. stop: end the challenge that runs.
        mode: shadow: answers as well, never returned. canary: answers a share of the clients.
        share: Of the requests in shadow, of the clients as a canary; more than 0, at most 1.
        maximum_error_share: Of its requests that it may fail to answer.
        maximum_disagreement_share: Of its answers that may differ from the champion's.
        maximum_slowdown: How many times the champion's CPU time an answer may take.
        minimum_requests: Before so many, no share is a reason to withdraw it.
        approve: Approve the version first, as a canary has to be, without promoting it.
        by: Who starts or stops.
        reason: Why, for the record.
        proof: Who it is; `overnight challenge` fills it in. Empty, the name above is only claimed,
            and refused where people decide and any token is known, as after `overnight up`.
    """
    said: dict[str, Plain] = {"action": action, "version": version, "reason": reason}
    if action == "start":
        said |= {"mode": mode, "share": share, "approve": approve}
        said |= {
            "maximum_error_share": maximum_error_share,
            "maximum_disagreement_share": maximum_disagreement_share,
            "maximum_slowdown": maximum_slowdown,
            "minimum_requests": minimum_requests,
        }
    context = ModelContext.open(model)
    story = RunReport(model=model, champion=step(context.registry.champion_version)())
    # Ending a challenge decides about no version.
    manual = action == "start" and version is not None and is_manual(context, version)
    try:
        actor = authenticate(
            context, "challenge", by=by, proof=proof, said=said, verb=action, manual=manual
        )
    except Unauthenticated as unknown:
        return finish(context, story, "Refused", str(unknown))
    if action == "stop":
        return _stop(context, story, actor, expected=version)
    if version is None:
        raise ConfigurationError("no version was named; name the one that shall challenge")
    terms = Terms(
        mode=mode,
        share=share,
        maximum_error_share=maximum_error_share,
        maximum_disagreement_share=maximum_disagreement_share,
        maximum_slowdown=maximum_slowdown,
        minimum_requests=minimum_requests,
    )
    story = replace(story, manifest=context.registry.manifest(version))
    try:
        if approve:
            step(context.registry.decide)(version, "approved", actor)
        record = step(context.challenges.start)(version, terms=terms, actor=actor)
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict))
    heard = hear_replicas(context, record)
    if heard.is_refused:
        # Somebody may have ended it meanwhile, and started another, which is none of ours.
        with suppress(NoChallenge, PromotionConflict):
            step(context.challenges.stop)(Actor("confirm", str(heard)), expected=version)
        return finish(context, story, "Refused", str(heard))
    words = f"{mode} of {share:.0%}; {heard}"
    return finish(context, story, "Challenging" if heard.is_complete else "Unconfirmed", words)


def _stop(context: ModelContext, story: RunReport, actor: Actor, *, expected: str | None) -> State:
    try:
        record = step(context.challenges.stop)(actor, expected=expected)
    except NoChallenge as nothing:
        return finish(context, story, "UpToDate", str(nothing))
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict))
    return finish(context, story, "Stopped", f"{record.version} challenges no more: {actor.reason}")


@step
def hear_replicas(context: ModelContext, record: AliasRecord) -> ChallengerConfirmation:
    """Wait until every replica has acknowledged or refused the challenger."""
    return await_challenger(
        context.bucket,
        record,
        replicas=context.settings.replicas,
        seconds=context.settings.confirm_seconds,
    )
