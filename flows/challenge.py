"""Let a version challenge the champion, or stop the one that does."""

from contextlib import suppress
from typing import Literal

from prefect import flow
from prefect.client.schemas.objects import State

from flows import decision_steps, steps
from flows.ending import end
from flows.hearing import Word, for_people, word_of
from flows.house import House
from flows.parameters import ModelName, Version
from flows.steps import step
from store.aliases import AliasRecord
from store.challenging import Challenges
from store.errors import ConfigurationError, NoChallenge, NotProved, PromotionConflict
from store.registry.actor import Actor
from store.registry.registry import ModelRegistry
from store.request_proof import Plain
from store.terms import Bound, Mode, Share, Terms
from tasks.challenge import Heard, hear
from tasks.report import Story


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
    house = House.of(model)
    # Ending a challenge decides about no version.
    manual = action == "start" and version is not None and for_people(house, version)
    try:
        word = word_of(house, "challenge", by=by, proof=proof, said=said, manual=manual)
    except NotProved as unknown:
        return end(Story(model=model, champion=steps.champion(model)), "Refused", str(unknown))
    told = reason or f"{action} by {word.by}"
    if action == "stop":
        return _stop(model, over=version, word=word, reason=told)
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
    manifest = ModelRegistry(house.bucket, model).manifest(version)
    story = Story(model=model, champion=steps.champion(model), manifest=manifest)
    try:
        if approve:
            decision_steps.approve(model, version, word=word, reason=told)
        record = start_challenge(model, version, terms=terms, word=word, reason=told)
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict))
    heard = hear_replicas(record)
    if heard.is_refused:
        # Somebody may have ended it meanwhile, and started another, which is none of ours.
        with suppress(NoChallenge, PromotionConflict):
            stop_challenge(model, over=version, word=Word("confirm"), reason=str(heard))
        return end(story, "Refused", str(heard))
    words = f"{mode} of {share:.0%}; {heard}"
    return end(story, "Challenging" if heard.is_complete else "Unconfirmed", words)


def _stop(model: str, *, over: str | None, word: Word, reason: str) -> State:
    story = Story(model=model, champion=steps.champion(model))
    try:
        record = stop_challenge(model, over=over, word=word, reason=reason)
    except NoChallenge as nothing:
        return end(story, "UpToDate", str(nothing))
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict))
    return end(story, "Stopped", f"{record.version} challenges no more: {reason}")


@step
def start_challenge(
    model: str, version: str, *, terms: Terms, word: Word, reason: str
) -> AliasRecord:
    """Write the record that every serving host follows."""
    bucket = House.of(model).bucket
    return Challenges(bucket, model).start(
        version, terms=terms, actor=Actor(word.by, reason, authenticated=word.proved)
    )


@step
def stop_challenge(model: str, *, over: str | None, word: Word, reason: str) -> AliasRecord:
    """Write the record after which nothing challenges, provided `over` does, if it is named."""
    bucket = House.of(model).bucket
    return Challenges(bucket, model).stop(
        Actor(word.by, reason, authenticated=word.proved), expected=over
    )


@step
def hear_replicas(record: AliasRecord) -> Heard:
    """Wait for every replica's word."""
    house = House.of(record.model)
    return hear(
        house.bucket,
        record,
        replicas=house.settings.replicas,
        seconds=house.settings.confirm_seconds,
    )
