"""The command line authenticates its user by a token, without sending the token."""

from datetime import UTC, datetime

import pytest

from overnight.cli.runs.start import proof
from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError
from overnight.store.trust.request_proof import Statement, verify_statement
from overnight.store.trust.tokens import Token

STATEMENT = Statement(
    "promote", "digits", {"version": "v", "decision": "approve", "reason": "good"}
)
OWN, FILED, MADE = "a-token-of-ones-own", "a-token-in-a-file-of-ones-own", "made-by-overnight-up"
KNOWN = (Token("ada", OWN), Token("bob", FILED), Token("operator", MADE))


@pytest.fixture
def given(monkeypatch, tmp_path):
    """Settings with these tokens."""
    (tmp_path / "token").write_text(f"{FILED}\n")

    def settings(**tokens: str):
        monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
        for name, value in tokens.items():
            monkeypatch.setenv(f"OVERNIGHT_{name}", value.replace("HERE", str(tmp_path)))
        return load()

    return settings


@pytest.mark.parametrize(
    ("tokens", "name"),
    [
        ({"TOKEN": OWN, "TOKEN_FILE": "HERE/token", "ADMIN_TOKEN": MADE}, "ada"),
        ({"TOKEN_FILE": "HERE/token", "ADMIN_TOKEN": MADE}, "bob"),
        ({"ADMIN_TOKEN": MADE}, "operator"),
    ],
)
def test_a_persons_own_token_comes_before_that_of_the_machine(given, tokens, name):
    signed = proof(given(**tokens), STATEMENT)

    assert verify_statement(signed["proof"], STATEMENT, KNOWN, now=datetime.now(UTC)) == name
    assert not any(one.token in str(signed) for one in KNOWN)


def test_without_a_token_there_is_no_proof(given):
    assert proof(given(), STATEMENT) == {}


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ({"TOKEN": "too short"}, "OVERNIGHT_TOKEN: expected a token of 16"),
        ({"TOKEN_FILE": "HERE/none"}, "OVERNIGHT_TOKEN_FILE: .*none cannot be read"),
        ({"TOKEN_FILE": "HERE"}, "OVERNIGHT_TOKEN_FILE: .* cannot be read"),
    ],
)
def test_the_error_about_a_bad_token_does_not_repeat_it(given, tokens, named):
    with pytest.raises(ConfigurationError, match=named) as raised:
        proof(given(**tokens), STATEMENT)

    assert "too short" not in str(raised.value)
