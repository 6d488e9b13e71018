"""Asks Prefect for a run of ours, follows it, and ends as it ended."""

import sys
from typing import Any

from rich.console import Console

from cli import following, outcomes
from infra.prefect_api import PrefectApi
from infra.settings import load

# `ingest` takes nobody's word: its arrivals say who delivered them.
_NAMELESS = {"ingest"}


def run(
    flow: str, model: str, parameters: dict[str, Any], *, reason: str = "", wait: bool = True
) -> None:
    """Trigger `flow/model` and leave with the exit code its end stands for.

    Raises:
        ConfigurationError: the server has no such deployment.
        OrchestratorUnavailable, OrchestratorRefused
    """
    settings, console = load(), Console()
    named = {} if flow in _NAMELESS else {"by": following.user(), "reason": reason}
    started = following.trigger(PrefectApi(settings.api_url), flow, model, parameters | named)
    if not wait:
        console.print(f"run {started['name']} ({started['id']}) is scheduled", highlight=False)
        return
    state = following.follow(settings, started, model, console)
    console.print(f"{model}  {outcomes.told(state)}", highlight=False)
    sys.exit(outcomes.exit_code(state))
