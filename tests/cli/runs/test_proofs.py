"""The command line proves who asks by a token of whoever runs it, and sends none."""

from datetime import UTC, datetime

import pytest

from overnight.cli.runs.start import proof
from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError
from overnight.store.trust.request_proof import Statement, verify_statement
from overnight.store.trust.tokens import Token

SAID = Statement("promote", "digits", {"version": "v", "decision": "approve", "reason": "good"})
OWN, FILED, MADE = "a-token-of-ones-own", "a-token-in-a-file-of-ones-own", "made-by-overnight-up"
KNOWN = (Token("ada", OWN), Token("bob", FILED), Token("operator", MADE))


@pytest.fixture
def given(monkeypatch, tmp_path):
    """The settings that these tokens make."""
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
def test_the_nearest_token_proves_it(given, tokens, name):
    shown = proof(given(**tokens), SAID)

    assert verify_statement(shown["proof"], SAID, KNOWN, now=datetime.now(UTC)) == name
    assert not any(one.token in str(shown) for one in KNOWN)


def test_without_any_token_nothing_is_proved(given):
    assert proof(given(), SAID) == {}


@pytest.mark.parametrize(
    ("tokens", "named"),
    [
        ({"TOKEN": "too short"}, "OVERNIGHT_TOKEN: expected a token of 16"),
        ({"TOKEN_FILE": "HERE/none"}, "OVERNIGHT_TOKEN_FILE: .*none cannot be read"),
        ({"TOKEN_FILE": "HERE"}, "OVERNIGHT_TOKEN_FILE: .* cannot be read"),
    ],
)
def test_what_is_no_token_is_told_and_not_repeated(given, tokens, named):
    with pytest.raises(ConfigurationError, match=named) as raised:
        proof(given(**tokens), SAID)

    assert "too short" not in str(raised.value)
