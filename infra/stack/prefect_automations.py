"""Prefect automations: crash runs whose process is gone, retry them, and have people notified."""

from collections.abc import Iterable, Mapping

from overnight.infra.prefect_api import TAG, Document, PrefectApi
from overnight.infra.settings import Settings
from overnight.store.errors import ConfigurationError
from overnight.tasks.notify.occasions import KIND_OF_OUTCOME, LATE
from overnight.tasks.outcomes import OUTCOMES, RED

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
# A worker reports one crash twice, some ten seconds apart.
_ONCE_SECONDS = 60.0
NOTIFY = "/deployments/name/notify/any-model"
_ENDS = "overnight: people are notified of ends of runs"
_FAILURES = "overnight: people are notified of runs that failed"
_LATES = "overnight: people are notified of late runs"
NOTIFICATIONS = (_ENDS, _FAILURES, _LATES)
# Names of Prefect's own states for runs that failed.
_FAILED = ("Failed", "TimedOut", "Crashed")
# Runs of ours, but for those that notify: one that fails must not start another.
_OF_OURS = [
    {"prefect.resource.role": "tag", "prefect.resource.id": f"prefect.tag.{TAG}"},
    {"prefect.resource.role": "flow", "prefect.resource.name": "!notify"},
]
_RUN_ID = "{{ event.resource.id | replace('prefect.flow-run.', '') }}"


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


def notifications(
    settings: Settings, deployment: str, blocks: Iterable[str] = ()
) -> tuple[Document, ...]:
    """The automations that start the deployment which notifies, for the kinds that are chosen.

    `blocks` are the ids of Prefect's blocks by which the server itself reports late runs: where no
    worker takes a run, none takes the one that notifies either.
    """
    kinds = set(settings.notify_kinds)
    chosen = []
    outcomes = [outcome for outcome, kind in KIND_OF_OUTCOME.items() if kind in kinds]
    if green := [each for each in outcomes if each in OUTCOMES - RED]:
        # The outcome begins the message of the state, which has Prefect's own name.
        messages = {"prefect.state-message": [f"{outcome}: *" for outcome in green]}
        what = "Once for each end of a run that somebody may want to know of."
        chosen.append(_of_ends(_ENDS, what, deployment, ["Completed"], messages))
    # A run of a kind that is not chosen starts the deployment, too, which then notifies nobody.
    if failed := sorted({_state_of(outcome) for outcome in outcomes} & set(_FAILED)):
        what = "Once for each failure of a run."
        chosen.append(_of_ends(_FAILURES, what, deployment, failed, {}))
    if "late" in kinds:
        chosen.append(_of_late_runs(settings, deployment, list(blocks)))
    return tuple(chosen)


def _notifies(deployment: str, parameters: Document) -> Document:
    return {
        "type": "run-deployment",
        "source": "selected",
        "deployment_id": deployment,
        "parameters": parameters,
    }


def _template(template: str) -> Document:
    return {"__prefect_kind": "jinja", "template": template}


def _state_of(outcome: str) -> str:
    return "Failed" if outcome in RED else outcome


def _of_ends(
    name: str, description: str, deployment: str, states: list[str], labels: Mapping[str, list[str]]
) -> Document:
    parameters = {
        "run": _template(_RUN_ID),
        "state": _template("{{ event.resource['prefect.state-name'] }}"),
    }
    return {
        "name": name,
        "description": description,
        "trigger": {
            "type": "event",
            "posture": "Reactive",
            "match": {**_RUNS, **labels},
            "match_related": _OF_OURS,
            "for_each": [*_EACH, "prefect.state-name", "prefect.run-count"],
            "expect": [f"prefect.flow-run.{state}" for state in states],
            "threshold": 1,
            "within": _ONCE_SECONDS,
        },
        "actions": [_notifies(deployment, parameters)],
    }


def _of_late_runs(settings: Settings, deployment: str, blocks: list[str]) -> Document:
    late = settings.notify_late_seconds
    parameters = {"run": _template(_RUN_ID), "state": LATE, "blocks": not blocks}
    what = "{{ flow_run.name }} was due at {{ flow_run.expected_start_time }} and has not begun."
    by_server = [
        {
            "type": "send-notification",
            "block_document_id": block,
            "subject": "overnight: a run has not started",
            "body": f"{what} Check that a worker runs: overnight status",
        }
        for block in blocks
    ]
    return {
        "name": _LATES,
        "description": f"A run that was due and has not begun {late:.0f} seconds later.",
        "trigger": {
            "type": "event",
            "posture": "Proactive",
            "match": _RUNS,
            "match_related": _OF_OURS,
            "for_each": _EACH,
            "after": ["prefect.flow-run.Late"],
            # A run that waits for another one of its model is not late.
            "expect": [
                "prefect.flow-run.Pending",
                "prefect.flow-run.Running",
                "prefect.flow-run.AwaitingConcurrencySlot",
                "prefect.flow-run.Missed",
                *_ENDED,
            ],
            "threshold": 1,
            "within": late,
        },
        "actions": [_notifies(deployment, parameters), *by_server],
    }


def register_notifications(api: PrefectApi, settings: Settings) -> None:
    """Create the automations that notify people, or remove them where no channel is set.

    To be called after the deployments are registered.

    Raises:
        ConfigurationError: Prefect has no block of a name that is set.
    """
    chosen: tuple[Document, ...] = ()
    missing: list[str] = []
    deployment = api.find(NOTIFY) if settings.notifies else None
    if deployment is not None:
        documents = {block: _block(api, block) for block in settings.notify_blocks}
        missing = [block for block, document in documents.items() if document is None]
        known = [document["id"] for document in documents.values() if document is not None]
        chosen = notifications(settings, deployment["id"], known)
    _put(api, chosen)
    names = {automation["name"] for automation in chosen}
    for automation in api.filter("/automations"):
        if automation["name"] in NOTIFICATIONS and automation["name"] not in names:
            api.request("DELETE", f"/automations/{automation['id']}")
    if missing:
        raise ConfigurationError(
            f"OVERNIGHT_NOTIFY_BLOCKS: Prefect at {api.url} has no block {', '.join(missing)}; "
            "make it in Prefect's UI under Blocks, or correct the setting"
        )


def _block(api: PrefectApi, block: str) -> Document | None:
    kind, _, name = block.partition("/")
    return api.find(f"/block_types/slug/{kind}/block_documents/name/{name}")


def register(api: PrefectApi, settings: Settings) -> None:
    """Create our automations on the server, and replace those that differ from `wanted`."""
    _put(api, wanted(settings))


def _put(api: PrefectApi, automations: Iterable[Document]) -> None:
    existing = {automation["name"]: automation for automation in api.filter("/automations")}
    for automation in automations:
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
