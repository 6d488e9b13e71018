"""Asks Prefect for a run of ours, follows it, and ends as it ended."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from overnight.cli.runs import exit_codes, follow
from overnight.cli.terminal import open_console
from overnight.infra import connections
from overnight.infra.settings import Settings, load
from overnight.store.errors import ConfigurationError
from overnight.store.trust.request_proof import Statement, sign_statement
from overnight.store.trust.tokens import GRAMMAR, is_token

# These take nobody's word: arrivals say who delivered them, and a version who made it.
_NAMELESS = {"ingest", "reproduce"}


def run(
    flow: str,
    model: str,
    parameters: dict[str, Any],
    *,
    reason: str = "",
    wait: bool = True,
    proving: Sequence[str] | None = None,
) -> None:
    """Trigger `flow/model` and leave with the exit code its end stands for.

    `proving`: which of the parameters a token of whoever asks has to prove, besides the reason.

    Raises:
        ConfigurationError: the server has no such deployment.
        OrchestratorUnavailable, OrchestratorRefused
    """
    settings, console = load(), open_console()
    named = {} if flow in _NAMELESS else {"by": follow.user(), "reason": reason}
    if proving is not None:
        said = {name: parameters.get(name) for name in proving} | {"reason": reason}
        named |= proof(settings, Statement(flow, model, said))
    started = follow.trigger(connections.prefect(settings), flow, model, parameters | named)
    if not wait:
        console.print(f"run {started['name']} ({started['id']}) is scheduled")
        return
    state = follow.follow(settings, started, model, console)
    console.print(f"{model}  {exit_codes.told(state)}")
    sys.exit(exit_codes.exit_code(state, flow))


def proof(settings: Settings, said: Statement) -> dict[str, str]:
    """What shows who asks, as a parameter of a run; nothing where there is no token.

    Raises:
        ConfigurationError: the token cannot be read, or could not be one.
    """
    token, setting = settings.token.get_secret_value(), "OVERNIGHT_TOKEN"
    if not token and settings.token_file is not None:
        setting = "OVERNIGHT_TOKEN_FILE"
        try:
            token = settings.token_file.read_text(encoding="utf-8").strip()
        except (OSError, UnicodeDecodeError):
            raise ConfigurationError(f"{setting}: {settings.token_file} cannot be read") from None
    token = token or settings.admin_token.get_secret_value()
    if not token:
        return {}
    if not is_token(token):
        raise ConfigurationError(f"{setting}: expected {GRAMMAR}, found something else")
    return {"proof": sign_statement(token, said, at=datetime.now(UTC))}
