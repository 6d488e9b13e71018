"""`overnight monitor`: run the monitor, and print its newest record."""

import json
import sys

from overnight import models
from overnight.cli.runs import exit_codes, follow
from overnight.cli.terminal import open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import MonitorLog, MonitorRecord
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.tasks import outcomes
from overnight.tasks.reporting.monitor_summary import (
    alarm_line,
    earlier_alarm,
    summary_lines,
    whole_quality,
)

# Among so many of the newest records an alarm that has ended is looked for.
_SEARCHED = 14


def run(model: str, *, last: bool, wait: bool, as_json: bool) -> None:
    """Start `monitor/MODEL`, follow it, print the record, and exit with the code of its outcome.

    Raises:
        ConfigurationError: there is no such model, or the server has no such deployment.
        OrchestratorUnavailable, OrchestratorRefused, StoreUnavailable
    """
    settings = load()
    keys.check_model(model)
    bucket = connections.bucket(settings)
    if last:
        sys.exit(_print_newest(bucket, model, as_json=as_json))
    # Only the record belongs on standard output where it is read by a program.
    console = open_console(stderr=as_json)
    started = follow.trigger(connections.prefect(settings), "monitor", model, {})
    if not wait:
        console.print(f"run {started['name']} ({started['id']}) is scheduled")
        return
    state = follow.follow(settings, started, model, console)
    console.print(f"{model}  {exit_codes.format_state(state)}")
    code = exit_codes.exit_code(state, "monitor")
    if outcomes.of_state(state).outcome in {"Healthy", "Drifted", "RolledBack"}:
        _print_newest(bucket, model, as_json=as_json)
    sys.exit(code)


def _print_newest(bucket: Bucket, model: str, *, as_json: bool) -> int:
    """Print the newest record; the exit code that it stands for.

    Raises:
        ConfigurationError: there is no such model.
    """
    read = MonitorLog(bucket, model).recent(_SEARCHED)
    recent = read.records
    for problem in read.damaged:
        print(problem, file=sys.stderr)
    if not recent:
        return exit_codes.FAILED if read.damaged else _without_record(bucket, model)
    record = recent[0]
    if as_json:
        print(json.dumps(to_json(record), indent=2))
    else:
        for line in summary_lines(record, _on_holdout(bucket, record)):
            print(line)
        for line in earlier_alarm(recent):
            print(line)
    return exit_codes.REFUSED if record.alarms else exit_codes.DONE


def _without_record(bucket: Bucket, model: str) -> int:
    """Say how the first record comes about; there is nothing to print."""
    if model not in {*models.names(), *Registry(bucket).models()}:
        raise ConfigurationError(
            f"no model is called {model}; expected one of {', '.join(models.names())}, or the name "
            "of a model that has a version"
        )
    message = (
        f"{model} has no record of the monitor yet; `overnight monitor {model}` writes the "
        "first once something was answered"
    )
    print(message, file=sys.stderr)
    return exit_codes.NOTHING_TO_DO


def to_json(record: MonitorRecord) -> Document:
    """The record without the states of its detectors, which only the next run needs."""
    return record.model_dump(mode="json", exclude={"detectors": {"__all__": {"details"}}})


def newest(bucket: Bucket, model: str) -> tuple[Document | None, list[str]]:
    """What `overnight status` says of the newest record, and of those that are damaged."""
    recent = MonitorLog(bucket, model).recent(1)
    if not recent.records:
        return None, list(recent.damaged)
    record = recent.records[0]
    document = {
        "sequence": record.sequence,
        "at": record.at.isoformat(),
        "healthy": not record.alarms,
        "alarms": [
            {"kind": alarm.kind, "since": alarm.since.isoformat(), "text": alarm_line(alarm)}
            for alarm in record.alarms
        ],
        "consequence": record.consequence.model_dump(mode="json"),
    }
    return document, list(recent.damaged)


def status_line(model: str, document: Document) -> str:
    """The newest record in one sentence."""
    when = f"record {document['sequence']} of {document['at'][:16].replace('T', ' ')} UTC"
    if document["healthy"]:
        return f"{model}: healthy, says {when}"
    since = min(alarm["since"] for alarm in document["alarms"])[:16].replace("T", " ")
    consequence = document["consequence"]
    first = document["alarms"][0]["text"]
    more = f" and {len(document['alarms']) - 1} more" if len(document["alarms"]) > 1 else ""
    return (
        f"{model}: alarm since {since} UTC, says {when}: {first}{more}; "
        f"what follows: {consequence['action']}"
    )


def _on_holdout(bucket: Bucket, record: MonitorRecord) -> Measurement | None:
    whole = whole_quality(record)
    if whole is None or not whole.measurements or record.champion is None:
        return None
    manifests = ModelRegistry(bucket, record.model).readable_manifests([record.champion])
    own = manifests.get(record.champion)
    return own.measured(whole.measurements[0].metric) if own else None
