"""Exit codes and one-line summaries of finished runs."""

from typing import Any

from overnight.tasks import outcomes

NOTHING_TO_DO, REFUSED, WRONG_USAGE, FAILED, DONE = 4, 3, 2, 1, 0
_BY_OUTCOME = {
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
    """0 done, 1 failed, 2 wrong usage, 3 refused by a gate or alarmed, 4 nothing to do."""
    outcome = outcomes.of_state(state).outcome
    if state["type"] != "COMPLETED":
        return WRONG_USAGE if outcome == "InvalidRequest" else FAILED
    # A replica refused the version and the promotion was undone; only these flows want this end.
    if outcome == "RolledBack" and flow not in {"rollback", "monitor"}:
        return FAILED
    return _BY_OUTCOME.get(outcome, DONE)


def format_state(state: dict[str, Any]) -> str:
    """The outcome and message of a state on one line."""
    return str(outcomes.of_state(state))
