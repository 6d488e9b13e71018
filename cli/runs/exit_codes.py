"""Exit codes and one-line summaries of finished runs."""

from typing import Any

REFUSED, NOTHING_TO_DO, FAILED, DONE = 3, 4, 1, 0
_BY_NAME = {
    "Refused": REFUSED,
    "UpToDate": NOTHING_TO_DO,
    "NothingNew": NOTHING_TO_DO,
    "Superseded": NOTHING_TO_DO,
    "Differs": FAILED,
    "Kept": NOTHING_TO_DO,
    "Drifted": REFUSED,
}
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}


def exit_code(state: dict[str, Any], flow: str) -> int:
    """0 done, 1 failed, 3 refused by a gate or alarmed, 4 nothing to do."""
    if state["type"] != "COMPLETED":
        return FAILED
    # A replica refused the version and the promotion was undone; only these flows want this end.
    if state["name"] == "RolledBack" and flow not in {"rollback", "monitor"}:
        return FAILED
    return _BY_NAME.get(state["name"], DONE)


def format_state(state: dict[str, Any]) -> str:
    """The state's name and message on one line."""
    return f"{state['name']}: {state['message']}" if state.get("message") else str(state["name"])
