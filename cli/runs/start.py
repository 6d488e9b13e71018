"""Starts a pipeline run in Prefect, follows it, and exits with the code of its outcome."""

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

# These flows have no requester: arrivals record who delivered them, and versions who made them.
_WITHOUT_REQUESTER = {"ingest", "monitor", "reproduce"}


def run(
    flow: str,
    model: str,
    parameters: dict[str, Any],
    *,
    reason: str = "",
    wait: bool = True,
    signed: Sequence[str] | None = None,
) -> None:
    """Start `flow/model` and exit with the code of its outcome.

    `signed`: the parameters that the requester's token authenticates, besides the reason; None for
    a run that needs no authentication.

    Raises:
        ConfigurationError: the server has no such deployment.
        OrchestratorUnavailable, OrchestratorRefused
    """
    settings, console = load(), open_console()
    if flow not in _WITHOUT_REQUESTER:
        parameters = parameters | {"requested_by": follow.user(), "reason": reason}
    if signed is not None:
        stated = {name: parameters.get(name) for name in (*signed, "reason")}
        parameters = parameters | proof(settings, Statement(flow, model, stated))
    api = connections.prefect(settings)
    started = follow.trigger(api, flow, model, parameters)
    for pause in follow.pauses(api, settings):
        console.print(pause, style="yellow")
    if not wait:
        console.print(f"run {started['name']} ({started['id']}) is scheduled")
        return
    state = follow.follow(settings, started, model, console)
    console.print(f"{model}  {exit_codes.format_state(state)}")
    sys.exit(exit_codes.exit_code(state, flow))


def proof(settings: Settings, statement: Statement) -> dict[str, str]:
    """The `proof` parameter of a run, by the first token that is set; empty where there is none.

    A person's own token comes before the one that `overnight up` made for this machine.

    Raises:
        ConfigurationError: the token cannot be read, or has the wrong form.
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
        # The value is not repeated: it may be a mistyped secret.
        raise ConfigurationError(f"{setting}: expected {GRAMMAR}, found something else")
    return {"proof": sign_statement(token, statement, at=datetime.now(UTC))}
