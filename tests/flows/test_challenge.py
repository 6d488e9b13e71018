"""Challenges are started and stopped by flow runs on a real Prefect server."""

from concurrent.futures import ThreadPoolExecutor

import pytest

from overnight.flows.challenge import challenge
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, manifest
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.signing_keys import SIGNER, alias_log, challenges, registry
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
FIRST, SECOND, THIRD = (f"20261122T02000{n}-0123456789ab" for n in range(3))


@pytest.fixture
def published(flow_environment: FlowEnvironment) -> FlowEnvironment:
    """A champion, and two versions without a decision."""
    for version in (FIRST, SECOND, THIRD):
        ModelRegistry(flow_environment.bucket, "digits").publish(
            manifest(version=version), FILES, SIGNER
        )
    registry(flow_environment.bucket, "digits").decisions.decide(FIRST, "approved", Actor("ann"))
    alias_log(flow_environment.bucket, "digits").append(
        FIRST, expected=None, actor=Actor("ann", "the first")
    )
    return flow_environment


def test_a_challenge_is_started_once_and_stopped_once(published: FlowEnvironment) -> None:
    name, message = ended(
        challenge("digits", version=SECOND, requested_by="bob", reason="a try", return_state=True)
    )
    assert name == "Challenging", message
    assert message == f"shadow of 10%; 0 of 0 replicas run {SECOND}"
    again = ended(
        challenge("digits", version=SECOND, requested_by="bob", reason="a try", return_state=True)
    )
    assert again[0] == "Challenging"

    (record,) = alias_log(published.bucket, "digits", CHALLENGER).history()
    assert (record.by, record.reason, record.terms) == ("bob", "a try", Terms(mode="shadow"))

    name, message = ended(
        challenge(
            "digits", action="stop", requested_by="bob", reason="seen enough", return_state=True
        )
    )
    assert (name, message) == ("Stopped", f"{SECOND} challenges no more: seen enough")
    name, message = ended(challenge("digits", action="stop", return_state=True))
    assert name == "UpToDate"
    assert "nothing challenges the champion" in message


def test_a_canary_can_be_approved_with_its_start_and_is_not_promoted(
    published: FlowEnvironment,
) -> None:
    refused = challenge("digits", version=SECOND, mode="canary", return_state=True)
    assert ended(refused)[0] == "InvalidRequest"
    assert "is not approved" in str(refused.message)

    state = challenge(
        "digits",
        version=SECOND,
        mode="canary",
        share=0.2,
        approve=True,
        requested_by="bob",
        return_state=True,
    )

    assert ended(state)[0] == "Challenging"
    decision = ModelRegistry(published.bucket, "digits").decisions.find(SECOND)
    assert decision is not None
    assert (decision.verdict, decision.by) == ("approved", "bob")
    champion = alias_log(published.bucket, "digits").current()
    assert champion is not None
    assert champion.version == FIRST


def test_a_second_challenge_is_refused_until_the_first_is_over(published: FlowEnvironment) -> None:
    challenge("digits", version=SECOND, return_state=True)

    refused = challenge("digits", version=THIRD, return_state=True)
    assert refused.is_failed()
    assert f"{SECOND} challenges the champion" in str(refused.message)

    running = challenges(published.bucket, "digits").current()
    assert running is not None
    withdrawal = Withdrawal(replica="here", version=SECOND, reason="too slow")
    challenges(published.bucket, running.record.model).withdraw(running.record, withdrawal)
    assert ended(challenge("digits", version=THIRD, return_state=True))[0] == "Challenging"


def test_a_challenger_that_no_replica_can_load_is_stopped(
    published: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_REPLICAS", "1")
    log = alias_log(published.bucket, "digits", CHALLENGER)
    refusal = Acknowledgement(replica="here", version=SECOND, serving=False, reason="too large")
    log.acknowledge(1, refusal)

    name, message = ended(challenge("digits", version=SECOND, return_state=True))

    assert name == "Refused"
    assert message == f"0 of 1 replicas run {SECOND}; refused by here: too large"
    current = log.current()
    assert current is not None
    assert (current.target, current.by) == (None, "confirm")


def test_the_challenge_of_another_person_is_not_stopped(
    published: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_REPLICAS", "1")
    bucket, log = published.bucket, alias_log(published.bucket, "digits", CHALLENGER)

    def eve_tries_another_and_the_first_is_refused() -> None:
        until(lambda: log.current() is not None, what="the first challenges")
        challenges(bucket, "digits").stop(Actor("eve", "mine first"))
        challenges(bucket, "digits").start(
            THIRD, terms=Terms(mode="shadow"), actor=Actor("eve", "mine")
        )
        refusal = Acknowledgement(replica="here", version=SECOND, serving=False, reason="too large")
        log.acknowledge(1, refusal)

    with ThreadPoolExecutor(1) as others:
        eve = others.submit(eve_tries_another_and_the_first_is_refused)
        name, message = ended(challenge("digits", version=SECOND, return_state=True))
        eve.result()
    assert (name, "too large" in message) == ("Refused", True)
    stopped = challenge("digits", action="stop", version=SECOND, return_state=True)
    assert ended(stopped)[0] == "Superseded"

    current = log.current()
    assert current is not None
    assert (current.target, current.by) == (THIRD, "eve")


def test_a_challenge_continues_when_some_replicas_load_it(
    published: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_REPLICAS", "2")
    log = alias_log(published.bucket, "digits", CHALLENGER)
    log.acknowledge(1, Acknowledgement(replica="a", version=SECOND, serving=True))
    log.acknowledge(
        1, Acknowledgement(replica="b", version=SECOND, serving=False, reason="too large")
    )

    name, message = ended(challenge("digits", version=SECOND, return_state=True))

    assert name == "Challenging"
    assert f"1 of 2 replicas run {SECOND}; refused by b: too large" in message


def test_without_any_acknowledgement_the_run_fails(
    published: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_REPLICAS", "1")
    monkeypatch.setenv("OVERNIGHT_CONFIRM_SECONDS", "0.1")

    state = challenge("digits", version=SECOND, return_state=True)

    assert state.is_failed()
    assert ended(state)[0] == "Unconfirmed"


@pytest.mark.parametrize(
    ("parameters", "named"),
    [
        ({"version": SECOND, "share": 0}, "share"),
        ({"version": SECOND, "maximum_slowdown": 0.5}, "maximum_slowdown"),
        ({}, "no version was named"),
    ],
)
def test_invalid_parameters_start_nothing(
    published: FlowEnvironment, parameters: dict[str, object], named: str
) -> None:
    state = challenge("digits", return_state=True, **parameters)  # type: ignore[call-overload]

    assert ended(state)[0] == "InvalidRequest" or state.is_failed()
    assert named in str(state.message)
    assert alias_log(published.bucket, "digits", CHALLENGER).current() is None
