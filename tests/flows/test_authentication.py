"""The requester of a run is authenticated by a token, or merely claimed by a name."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from overnight.cli.runs import start
from overnight.flows.challenge import challenge
from overnight.flows.promote import promote
from overnight.flows.retrain import retrain
from overnight.flows.rollback import rollback
from overnight.infra.settings import load
from overnight.infra.stack.local_secrets import ensure_admin_token
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.request_proof import Statement, sign_statement
from tests.support.examples import FILES, manifest
from tests.support.flow_environment import FlowEnvironment
from tests.support.outcomes import ended
from tests.support.signing_keys import SIGNER, alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(300)]
FIRST, SECOND = (f"20261122T02000{n}-0123456789ab" for n in range(2))
CHALLENGE = {
    "action": "start",
    "version": SECOND,
    "mode": "shadow",
    "share": 0.1,
    "maximum_error_share": 0.01,
    "maximum_disagreement_share": 0.05,
    "maximum_slowdown": 2,
    "minimum_requests": 200,
}
ADA, BOB = "ada-has-this-token-alone", "bob-has-this-token-alone"


@pytest.fixture
def manual(flow_environment: FlowEnvironment) -> FlowEnvironment:
    """Two versions that passed their gates and wait for approval."""
    for version, compared_with in ((FIRST, None), (SECOND, FIRST)):
        changed = {"approval": "manual", "compared_with": compared_with}
        made = manifest(version=version).model_copy(update=changed)
        ModelRegistry(flow_environment.bucket, made.model).publish(made, FILES, SIGNER)
    return flow_environment


@pytest.fixture
def tokens(manual: FlowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ada {ADA}\nbob {BOB}\n")
    file.chmod(0o600)
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKENS_FILE", str(file))


def champion(flow_environment: FlowEnvironment) -> AliasRecord | None:
    return alias_log(flow_environment.bucket, "digits").current()


def proof(token: str, act: str = "promote", *, minutes: float = 0, **rest: object) -> str:
    statement = Statement(act, "digits", rest)  # type: ignore[arg-type]
    return sign_statement(token, statement, at=datetime.now(UTC) - timedelta(minutes=minutes))


def test_an_authenticated_approval_records_the_name_of_the_token_and_not_the_claimed_one(
    manual: FlowEnvironment, tokens: None
) -> None:
    signed = proof(ADA, version=FIRST, decision="approve", reason="good")

    state = promote(
        FIRST, "digits", requested_by="the king", reason="good", proof=signed, return_state=True
    )

    assert ended(state)[0] == "Promoted"
    decision, record = (
        ModelRegistry(manual.bucket, "digits").decisions.find(FIRST),
        champion(manual),
    )
    assert decision is not None
    assert record is not None
    assert (decision.by, decision.authenticated) == ("ada", True)
    assert (record.by, record.authenticated, record.reason) == ("ada", True, "good")


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_where_tokens_are_known_a_claimed_name_decides_nothing(
    manual: FlowEnvironment, tokens: None, decision: str
) -> None:
    state = promote(FIRST, "digits", decision=decision, requested_by="ada", return_state=True)  # type: ignore[call-overload]

    name, message = ended(state)
    # Neither green as a decision is, nor red: it was the request that was wrong.
    assert state.is_cancelled()
    assert name == "Denied"
    assert "'ada' is only claimed" in message
    assert "OVERNIGHT_TOKEN" in message
    assert ModelRegistry(manual.bucket, "digits").decisions.find(FIRST) is None
    assert champion(manual) is None


def test_where_up_made_a_token_the_command_uses_it_and_a_claimed_name_decides_nothing(
    manual: FlowEnvironment,
) -> None:
    ensure_admin_token(load())

    typed = promote(FIRST, "digits", requested_by="ann", return_state=True)
    statement = {"version": FIRST, "decision": "approve", "reason": "good"}
    # As `overnight approve` does on this machine.
    signed = start.proof(load(), Statement("promote", "digits", statement))
    proved = promote(FIRST, "digits", reason="good", return_state=True, **signed)  # type: ignore[call-overload]

    assert ended(typed)[0] == "Denied"
    assert "the token that `overnight up` made" in ended(typed)[1]
    assert ended(proved)[0] == "Promoted"
    decision = ModelRegistry(manual.bucket, "digits").decisions.find(FIRST)
    assert decision is not None
    assert (decision.by, decision.authenticated) == ("operator", True)


@pytest.mark.parametrize(
    "signed",
    [
        proof("nobody-has-this-token", version=FIRST, decision="approve"),
        proof(ADA, version=SECOND, decision="approve"),
    ],
    ids=["nobody's", "of another version"],
)
def test_a_proof_of_something_else_is_refused(
    manual: FlowEnvironment, tokens: None, signed: str
) -> None:
    state = promote(FIRST, "digits", requested_by="ada", proof=signed, return_state=True)

    assert ended(state)[0] == "Denied"
    assert ModelRegistry(manual.bucket, "digits").decisions.find(FIRST) is None


def test_without_tokens_a_claimed_name_decides_and_is_recorded_as_such(
    manual: FlowEnvironment,
) -> None:
    signed = proof(ADA, version=FIRST, decision="approve")

    state = promote(FIRST, "digits", requested_by="ann", proof=signed, return_state=True)

    assert ended(state)[0] == "Promoted"
    decision = ModelRegistry(manual.bucket, "digits").decisions.find(FIRST)
    assert decision is not None
    assert (decision.by, decision.authenticated) == ("ann", False)


def test_rollbacks_and_challenges_are_authenticated_as_well(
    manual: FlowEnvironment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKEN", ADA)
    for version in (FIRST, SECOND):
        signed = proof(ADA, version=version, decision="approve")
        assert ended(promote(version, "digits", proof=signed, return_state=True))[0] == "Promoted"

    back = rollback(
        "digits", reason="worse", proof=proof(ADA, "rollback", reason="worse"), return_state=True
    )
    signed = proof(ADA, "challenge", reason="again", **CHALLENGE)
    tried = challenge("digits", version=SECOND, reason="again", proof=signed, return_state=True)

    record = champion(manual)
    assert ended(back)[0] == "RolledBack"
    assert record is not None
    assert (record.version, record.by, record.authenticated) == (FIRST, "operator", True)
    assert ended(tried)[0] == "Challenging"
    (started,) = alias_log(manual.bucket, "digits", CHALLENGER).history()
    assert (started.by, started.authenticated) == ("operator", True)


@pytest.mark.parametrize(
    "other",
    [
        {"maximum_error_share": 1.0},
        {"maximum_disagreement_share": 1.0},
        {"maximum_slowdown": 1e9},
        {"minimum_requests": 10**9},
    ],
    ids=str,
)
def test_the_proof_of_a_challenge_holds_for_no_other_bounds(
    manual: FlowEnvironment, tokens: None, other: dict[str, float]
) -> None:
    signed = proof(ADA, "challenge", reason="again", **CHALLENGE)

    state = challenge(
        "digits", version=SECOND, reason="again", proof=signed, return_state=True, **other
    )  # type: ignore[call-overload]

    assert ended(state)[0] == "Denied"
    assert alias_log(manual.bucket, "digits", CHALLENGER).current() is None


@pytest.mark.parametrize(
    "other",
    [
        {"epochs": 1},
        {"learning_rate": 0.9},
        {"batch_rows": 8},
        {"seed": 9},
        {"force": True},
        {"ingest_first": False},
        {"approval": "automatic"},
        {"start_from": "scratch"},
        {"reason": "another"},
    ],
    ids=str,
)
def test_the_proof_of_an_override_holds_for_no_other_parameters(
    flow_environment: FlowEnvironment, monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKEN", ADA)
    choices = {"ingest_first": True, "approval": "as declared", "start_from": "as declared"}
    signed = proof(ADA, "retrain", reason="so", override_gates=True, **choices)
    parameters = {"override_gates": True, "requested_by": "eve", "reason": "so", "proof": signed}

    state = retrain(return_state=True, **parameters | other)  # type: ignore[call-overload]

    assert ended(state)[0] == "Denied"
    assert "no token that is known here authenticates this request" in ended(state)[1]


def test_a_claimed_name_neither_approves_by_a_challenge_nor_rolls_back_to_a_waiting_version(
    manual: FlowEnvironment, tokens: None
) -> None:
    tried = challenge("digits", version=SECOND, approve=True, requested_by="ada", return_state=True)
    back = rollback("digits", to=SECOND, requested_by="ada", return_state=True)

    for state in (tried, back):
        assert ended(state)[0] == "Denied"
        assert "'ada' is only claimed" in ended(state)[1]
    assert ModelRegistry(manual.bucket, "digits").decisions.find(SECOND) is None
    assert champion(manual) is None
