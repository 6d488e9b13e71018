"""What Prefect does by itself about runs whose process is gone."""

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
    # Never by force: a run that ended meanwhile stays as it ended.
    return [action | {"force": False}]


def wanted(settings: Settings) -> tuple[Document, ...]:
    """The automations of a server that is kept with these settings."""
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
    """Make the server's automations of ours what they should be; what is right is left alone."""
    existing = {automation["name"]: automation for automation in api.filter("/automations")}
    for one in wanted(settings):
        found = existing.get(one["name"])
        if found is None:
            api.ask("POST", "/automations/", one)
        elif not _holds(found, one):
            enabled = {"enabled": found["enabled"]}
            api.ask("PUT", f"/automations/{found['id']}", one | enabled)


def _holds(found: object, wanted: object) -> bool:
    """Whether a document of the server has everything that is wanted; it may have more."""
    if isinstance(wanted, Mapping) and isinstance(found, Mapping):
        return all(key in found and _holds(found[key], wanted[key]) for key in wanted)
    if isinstance(wanted, list) and isinstance(found, list):
        if all(isinstance(item, str) for item in wanted):
            return sorted(wanted) == sorted(found)
        return len(found) == len(wanted) and all(map(_holds, found, wanted))
    return found == wanted
