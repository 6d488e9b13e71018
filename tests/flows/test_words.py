"""Whose word a run acts on: a token proves it, or a name is merely typed."""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from prefect.client.schemas.objects import State

from overnight.cli.runs import start
from overnight.flows.challenge import challenge
from overnight.flows.promote import promote
from overnight.flows.retrain import retrain
from overnight.flows.rollback import rollback
from overnight.infra.settings import load
from overnight.infra.stack.local_secrets import ensure_admin_token
from overnight.store.registry.aliases import CHALLENGER, AliasLog, AliasRecord
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.request_proof import Statement, sign_statement
from tests.support.examples import FILES, manifest
from tests.support.prefect_world import World
from tests.support.signing_keys import SIGNER

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
def manual(world: World) -> World:
    """Two versions that passed and wait for a person, one after the other."""
    for version, beside in ((FIRST, None), (SECOND, FIRST)):
        told = {"approval": "manual", "compared_with": beside}
        made = manifest(version=version).model_copy(update=told)
        ModelRegistry(world.bucket, made.model).publish(made, FILES, SIGNER)
    return world


@pytest.fixture
def tokens(manual: World, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "tokens"
    file.write_text(f"ada {ADA}\nbob {BOB}\n")
    file.chmod(0o600)
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKENS_FILE", str(file))


def ended(state: State) -> tuple[str, str]:
    return str(state.name), str(state.message)


def champion(world: World) -> AliasRecord | None:
    return AliasLog(world.bucket, "digits").current()


def proof(token: str, act: str = "promote", *, minutes: float = 0, **rest: object) -> str:
    said = Statement(act, "digits", rest)  # type: ignore[arg-type]
    return sign_statement(token, said, at=datetime.now(UTC) - timedelta(minutes=minutes))


def test_a_proved_approval_carries_the_name_of_the_token_and_not_the_typed_one(
    manual: World, tokens: None
) -> None:
    shown = proof(ADA, version=FIRST, decision="approve", reason="good")

    state = promote(
        FIRST, "digits", requested_by="the king", reason="good", proof=shown, return_state=True
    )

    assert ended(state)[0] == "Promoted"
    decision, record = ModelRegistry(manual.bucket, "digits").decision(FIRST), champion(manual)
    assert decision is not None
    assert record is not None
    assert (decision.by, decision.authenticated) == ("ada", True)
    assert (record.by, record.authenticated, record.reason) == ("ada", True, "good")


@pytest.mark.parametrize("decision", ["approve", "reject"])
def test_where_tokens_say_who_people_are_a_typed_name_decides_nothing(
    manual: World, tokens: None, decision: str
) -> None:
    state = promote(FIRST, "digits", decision=decision, requested_by="ada", return_state=True)  # type: ignore[call-overload]

    name, told = ended(state)
    assert state.is_completed()
    assert name == "Refused"
    assert "'ada' is only claimed" in told
    assert "OVERNIGHT_TOKEN" in told
    assert ModelRegistry(manual.bucket, "digits").decision(FIRST) is None
    assert champion(manual) is None


def test_where_up_made_a_token_the_command_proves_by_itself_and_a_typed_name_decides_nothing(
    manual: World,
) -> None:
    ensure_admin_token(load())

    typed = promote(FIRST, "digits", requested_by="ann", return_state=True)
    said = {"version": FIRST, "decision": "approve", "reason": "good"}
    # As `overnight approve` asks on this machine.
    shown = start.proof(load(), Statement("promote", "digits", said))
    proved = promote(FIRST, "digits", reason="good", return_state=True, **shown)  # type: ignore[call-overload]

    assert ended(typed)[0] == "Refused"
    assert "where `overnight up` was run" in ended(typed)[1]
    assert ended(proved)[0] == "Promoted"
    decision = ModelRegistry(manual.bucket, "digits").decision(FIRST)
    assert decision is not None
    assert (decision.by, decision.authenticated) == ("operator", True)


@pytest.mark.parametrize(
    "shown",
    [
        proof("nobody-has-this-token", version=FIRST, decision="approve"),
        proof(ADA, version=SECOND, decision="approve"),
    ],
    ids=["nobody's", "of another version"],
)
def test_a_proof_of_something_else_is_refused(manual: World, tokens: None, shown: str) -> None:
    state = promote(FIRST, "digits", requested_by="ada", proof=shown, return_state=True)

    assert ended(state)[0] == "Refused"
    assert ModelRegistry(manual.bucket, "digits").decision(FIRST) is None


def test_without_tokens_a_typed_name_decides_and_is_recorded_as_typed(manual: World) -> None:
    shown = proof(ADA, version=FIRST, decision="approve")

    state = promote(FIRST, "digits", requested_by="ann", proof=shown, return_state=True)

    assert ended(state)[0] == "Promoted"
    decision = ModelRegistry(manual.bucket, "digits").decision(FIRST)
    assert decision is not None
    assert (decision.by, decision.authenticated) == ("ann", False)


def test_rollbacks_and_challenges_are_proved_as_well(
    manual: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKEN", ADA)
    for version in (FIRST, SECOND):
        shown = proof(ADA, version=version, decision="approve")
        assert ended(promote(version, "digits", proof=shown, return_state=True))[0] == "Promoted"

    back = rollback(
        "digits", reason="worse", proof=proof(ADA, "rollback", reason="worse"), return_state=True
    )
    shown = proof(ADA, "challenge", reason="again", **CHALLENGE)
    tried = challenge("digits", version=SECOND, reason="again", proof=shown, return_state=True)

    record = champion(manual)
    assert ended(back)[0] == "RolledBack"
    assert record is not None
    assert (record.version, record.by, record.authenticated) == (FIRST, "operator", True)
    assert ended(tried)[0] == "Challenging"
    (started,) = AliasLog(manual.bucket, "digits", CHALLENGER).history()
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
def test_a_proved_challenge_cannot_be_repeated_with_other_bounds(
    manual: World, tokens: None, other: dict[str, float]
) -> None:
    shown = proof(ADA, "challenge", reason="again", **CHALLENGE)

    state = challenge(
        "digits", version=SECOND, reason="again", proof=shown, return_state=True, **other
    )  # type: ignore[call-overload]

    assert ended(state)[0] == "Refused"
    assert AliasLog(manual.bucket, "digits", CHALLENGER).current() is None


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
def test_a_proof_that_overrules_gates_is_of_this_run_and_of_no_other(
    world: World, monkeypatch: pytest.MonkeyPatch, other: dict[str, object]
) -> None:
    monkeypatch.setenv("OVERNIGHT_ADMIN_TOKEN", ADA)
    words = {"ingest_first": True, "approval": "as declared", "start_from": "as declared"}
    shown = proof(ADA, "retrain", reason="so", override_gates=True, **words)
    asked = {"override_gates": True, "requested_by": "eve", "reason": "so", "proof": shown}

    state = retrain(return_state=True, **asked | other)  # type: ignore[call-overload]

    assert ended(state)[0] == "Refused"
    assert "no token that is known here proves these words" in ended(state)[1]


def test_a_typed_name_neither_approves_by_a_challenge_nor_rolls_back_to_what_waits(
    manual: World, tokens: None
) -> None:
    tried = challenge("digits", version=SECOND, approve=True, requested_by="ada", return_state=True)
    back = rollback("digits", to=SECOND, requested_by="ada", return_state=True)

    for state in (tried, back):
        assert ended(state)[0] == "Refused"
        assert "'ada' is only claimed" in ended(state)[1]
    assert ModelRegistry(manual.bucket, "digits").decision(SECOND) is None
    assert champion(manual) is None
