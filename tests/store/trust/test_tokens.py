"""Files of tokens, and proofs of requests."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from overnight.store.errors import ConfigurationError, Unauthenticated
from overnight.store.trust.request_proof import (
    VALID_FOR,
    Statement,
    sign_statement,
    verify_statement,
)
from overnight.store.trust.tokens import Token, parse

NOW = datetime(2026, 11, 23, 2, 0, tzinfo=UTC)
ADA, BOB = Token("ada", "ada-has-this-token-alone"), Token("bob", "bob-has-this-token-alone")
SAID = Statement("promote", "digits", {"version": "v", "decision": "approve", "reason": "good"})


def test_a_proof_identifies_the_owner_of_the_token():
    assert (
        verify_statement(sign_statement(BOB.token, SAID, at=NOW), SAID, (ADA, BOB), now=NOW)
        == "bob"
    )


def test_empty_parameters_and_number_types_do_not_matter():
    statement = Statement(
        "challenge", "digits", {"share": 1, "approve": False, "version": None, "reason": ""}
    )
    same = Statement("challenge", "digits", {"share": 1.0})

    assert (
        verify_statement(sign_statement(ADA.token, statement, at=NOW), same, (ADA,), now=NOW)
        == "ada"
    )


@pytest.mark.parametrize(
    "other",
    [
        Statement("rollback", "digits", SAID.rest),
        Statement("promote", "sales", SAID.rest),
        Statement("promote", "digits", {**SAID.rest, "decision": "reject"}),
        Statement("promote", "digits", {**SAID.rest, "share": 0}),
        Statement("promote", "digits", {}),
    ],
)
def test_a_proof_is_of_no_other_statement(other):
    with pytest.raises(Unauthenticated, match="no token that is known here"):
        verify_statement(sign_statement(ADA.token, SAID, at=NOW), other, (ADA, BOB), now=NOW)


@pytest.mark.parametrize(("after", "holds"), [(0, True), (60, True), (61, False), (-6, False)])
def test_a_proof_is_valid_for_an_hour(after, holds):
    shown, later = sign_statement(ADA.token, SAID, at=NOW), NOW + timedelta(minutes=after)

    if holds:
        assert verify_statement(shown, SAID, (ADA,), now=later) == "ada"
    else:
        with pytest.raises(Unauthenticated, match="valid for an hour"):
            verify_statement(shown, SAID, (ADA,), now=later)
    assert timedelta(hours=1) == VALID_FOR


@given(st.text(max_size=90))
def test_a_malformed_proof_is_refused(text):
    with pytest.raises(Unauthenticated) as raised:
        verify_statement(text, SAID, (ADA, BOB), now=NOW)

    assert ADA.token not in str(raised.value)


def test_a_proof_and_a_repr_do_not_contain_the_token():
    assert ADA.token not in sign_statement(ADA.token, SAID, at=NOW) + repr(ADA)


@pytest.mark.parametrize(
    "line", ["ada", "ada short", "a b c", "a/b " + "t" * 20, "ada " + "ü" * 20]
)
def test_an_invalid_line_is_reported_by_number_without_its_text(line):
    with pytest.raises(ConfigurationError, match="line 2 of here: expected `name token`") as raised:
        parse(f"# who\n{line}\n", where="line {number} of here")

    assert line.split()[-1] not in str(raised.value).split("expected")[0]


def test_a_token_has_one_owner():
    with pytest.raises(ConfigurationError, match="line 2: this token belongs to ada already"):
        parse(f"ada {ADA.token}\nbob {ADA.token}\n", where="line {number}")


def test_a_name_may_have_several_tokens():
    tokens = parse(f"ada {ADA.token}\n\nada {BOB.token} # the new one\n", where="")

    assert tokens == (ADA, Token("ada", BOB.token))
