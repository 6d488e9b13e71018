"""Asks Prefect for a run of ours, follows it, and ends as it ended."""

import sys
from typing import Any

from cli import following, outcomes
from cli.terminal import open_console
from infra.prefect_api import PrefectApi
from infra.settings import load

# These take nobody's word: arrivals say who delivered them, and a version who made it.
_NAMELESS = {"ingest", "reproduce"}


def run(
    flow: str, model: str, parameters: dict[str, Any], *, reason: str = "", wait: bool = True
) -> None:
    """Trigger `flow/model` and leave with the exit code its end stands for.

    Raises:
        ConfigurationError: the server has no such deployment.
        OrchestratorUnavailable, OrchestratorRefused
    """
    settings, console = load(), open_console()
    named = {} if flow in _NAMELESS else {"by": following.user(), "reason": reason}
    started = following.trigger(PrefectApi(settings.api_url), flow, model, parameters | named)
    if not wait:
        console.print(f"run {started['name']} ({started['id']}) is scheduled")
        return
    state = following.follow(settings, started, model, console)
    console.print(f"{model}  {outcomes.told(state)}")
    sys.exit(outcomes.exit_code(state, flow))
