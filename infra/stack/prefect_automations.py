"""Prefect automations that crash runs whose process is gone, and retry them."""

from collections.abc import Mapping

from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings

_RUNS = {"prefect.resource.id": "prefect.flow-run.*"}
_ENDED = [
    "prefect.flow-run.Completed",
    "prefect.flow-run.Failed",
    "prefect.flow-run.Cancelled",
    "prefect.flow-run.Crashed",
]
_EACH = ["prefect.resource.id"]
_BEGUN_AGAIN = [
    "prefect.flow-run.AwaitingRetry",
    "prefect.flow-run.Scheduled",
    "prefect.flow-run.Pending",
    "prefect.flow-run.Running",
]
_PENDING_SECONDS = 300.0
RETRIED_TAG = "retry"


def _becomes(state: str, name: str, message: str) -> list[Document]:
    action = {"type": "change-flow-run-state", "state": state, "name": name, "message": message}
    # Never forced: a run that ended meanwhile keeps its state.
    return [action | {"force": False}]


def wanted(settings: Settings) -> tuple[Document, ...]:
    """The automations that a server with these settings should have."""
    silent = settings.run_silent_seconds
    silence = f"A run that sent heartbeats, and none for {silent:.0f} seconds, is Crashed."
    again = f"A Crashed run tagged `{RETRIED_TAG}` is scheduled again, up to 3 starts."
    return (
        {
            "name": "overnight: silent runs have crashed",
            "description": silence,
            "trigger": {
                "type": "event",
                "posture": "Proactive",
                "match": _RUNS,
                "for_each": _EACH,
                "after": ["prefect.flow-run.heartbeat"],
                "expect": ["prefect.flow-run.heartbeat", *_ENDED],
                "threshold": 1,
                "within": silent,
            },
            "actions": _becomes("CRASHED", "Crashed", f"No heartbeat for {silent:.0f} seconds."),
        },
        {
            "name": "overnight: runs that never start have crashed",
            "description": "A run that is Pending for five minutes is Crashed: its worker is gone.",
            "trigger": {
                "type": "event",
                "posture": "Proactive",
                "match": _RUNS,
                "for_each": _EACH,
                "after": ["prefect.flow-run.Pending"],
                "expect": ["prefect.flow-run.Running", *_ENDED],
                "threshold": 1,
                "within": _PENDING_SECONDS,
            },
            "actions": _becomes("CRASHED", "Crashed", "Pending for five minutes."),
        },
        {
            "name": "overnight: crashed runs are tried again",
            "description": again,
            "trigger": {
                "type": "event",
                # Not at once: a worker reports the same crash twice, the second time some ten
                # seconds later, and would crash a run that had begun again, and have it begin a
                # third time.
                "posture": "Proactive",
                "match": _RUNS | {"prefect.run-count": ["0", "1", "2"]},
                "match_related": {
                    "prefect.resource.role": "tag",
                    "prefect.resource.id": f"prefect.tag.{RETRIED_TAG}",
                },
                "for_each": _EACH,
                "after": ["prefect.flow-run.Crashed"],
                "expect": _BEGUN_AGAIN,
                "threshold": 1,
                "within": settings.run_retry_seconds,
            },
            "actions": _becomes("SCHEDULED", "AwaitingRetry", "Its process died; started again."),
        },
    )


def register(api: PrefectApi, settings: Settings) -> None:
    """Create our automations on the server, and replace those that differ from `wanted`."""
    existing = {automation["name"]: automation for automation in api.filter("/automations")}
    for automation in wanted(settings):
        registered = existing.get(automation["name"])
        if registered is None:
            api.request("POST", "/automations/", automation)
        elif not _matches(registered, automation):
            enabled = {"enabled": registered["enabled"]}
            api.request("PUT", f"/automations/{registered['id']}", automation | enabled)


def _matches(actual: object, expected: object) -> bool:
    """Whether a document of the server has all expected fields and values; it may have more."""
    if isinstance(expected, Mapping) and isinstance(actual, Mapping):
        return all(key in actual and _matches(actual[key], expected[key]) for key in expected)
    if isinstance(expected, list) and isinstance(actual, list):
        if all(isinstance(item, str) for item in expected):
            return sorted(expected) == sorted(actual)
        return len(actual) == len(expected) and all(map(_matches, actual, expected))
    return actual == expected
