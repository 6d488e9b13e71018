"""The deployments of all models, generated from their definitions and the templates of flows."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from overnight import models
from overnight.infra.notification_formats import NEVER
from overnight.infra.prefect_api import TAG
from overnight.infra.settings import Settings
from overnight.infra.stack.alarm_trigger import retrain_on_alarm
from overnight.models.definition import ModelDefinition
from overnight.models.schedule import Schedule
from overnight.store.errors import ConfigurationError

# The folder of the checkout, or in a wheel that of the package: the file is in both.
TEMPLATES = Path(__file__).resolve().parents[2] / "deployments.yaml"
# Of these the form shows what the model declares.
_SHOWN = ("epochs", "learning_rate", "batch_rows", "seed")
_TRIALS = 20
# Of a model that is retrained only when somebody starts it.
_MONITOR_ALONE = Schedule("0 1 * * *")


@dataclass(frozen=True)
class Generated:
    """Deployments as Prefect's file lists them, and the errors of models that have none."""

    entries: tuple[Mapping[str, Any], ...]
    errors: Mapping[str, str] = field(default_factory=dict)

    @property
    def text(self) -> str:
        """The file that `prefect deploy` reads."""
        return yaml.safe_dump({"deployments": [dict(e) for e in self.entries]}, sort_keys=False)


def generate(templates: Path = TEMPLATES, *, settings: Settings | None = None) -> Generated:
    """The deployments of all models of this process, and those of the settings, if given.

    A model that cannot be imported is an error of its own, and no reason to leave out others.
    """
    document = yaml.safe_load(templates.read_text())
    definitions, errors = [], {}
    for name in models.names():
        try:
            definitions.append(models.find(name))
        except ConfigurationError as error:
            errors[name] = str(error)
    crons = _crons(definitions)
    own = [
        entry
        for definition in definitions
        for entry in _of_model(definition, document["each_model"], crons.get(definition.name))
    ]
    common = [
        entry for each in document["deployments"] if (entry := _as_set(each, settings)) is not None
    ]
    return Generated((*common, *own), errors)


def _as_set(entry: Mapping[str, Any], settings: Settings | None) -> Mapping[str, Any] | None:
    """A deployment that does not belong to one model, or None where the settings want none.

    Nobody is notified where no channel is set, so nothing waits for that.
    """
    flow = entry["entrypoint"].rpartition(".")[2]
    if flow == "notify" and (settings is None or not settings.notifies):
        return None
    if flow == "summary" and settings is not None and settings.summary_at != NEVER:
        hour, minute = map(int, settings.summary_at.split(":"))
        zone = settings.summary_time_zone
        schedule = {"cron": f"{minute} {hour} * * *", "timezone": zone, "slug": "daily"}
        return {**entry, "schedules": [schedule]}
    return entry


def _crons(definitions: Iterable[ModelDefinition]) -> Mapping[str, str]:
    """The times of all models that have a schedule; those without one of their own are spread."""
    crons, place = {}, 0
    for definition in definitions:
        if definition.schedule is not None:
            crons[definition.name] = definition.schedule.at(place)
            place += not definition.schedule.cron
    return crons


def _of_model(
    definition: ModelDefinition, templates: Mapping[str, Mapping[str, Any]], cron: str | None
) -> Iterable[Mapping[str, Any]]:
    for flow, template in templates.items():
        if flow == "tune" and not definition.tunable:
            continue
        if flow == "monitor" and definition.watching.log is None:
            continue
        parameters: dict[str, Any] = {"model": definition.name}
        schedules = []
        if flow == "retrain":
            parameters |= definition.settings.model_dump(include=set(_SHOWN))
            if cron is not None and definition.schedule is not None:
                zone = definition.schedule.time_zone
                schedules = [{"cron": cron, "timezone": zone, "slug": "nightly"}]
        if flow == "monitor" and (times := _of_monitor(definition, cron)) is not None:
            schedules = [{"cron": times.at(0), "timezone": times.time_zone, "slug": "monitor"}]
        if flow == "tune":
            parameters["trials"] = _TRIALS
        yield {
            **template,
            "name": definition.name,
            "tags": [TAG, definition.name, flow, "retry", *definition.tags],
            "parameters": parameters,
            **({"schedules": schedules} if schedules else {}),
            **(
                {"triggers": [retrain_on_alarm(definition.name)]}
                if _by_alarm(flow, definition)
                else {}
            ),
        }


def _of_monitor(definition: ModelDefinition, cron: str | None) -> Schedule | None:
    """When the monitor runs, beside a nightly run of this cron expression."""
    declared = definition.watching.schedule
    if declared is None or isinstance(declared, Schedule):
        return declared
    if cron is None or definition.schedule is None:
        return _MONITOR_ALONE
    return Schedule(cron, definition.schedule.time_zone).hour_before(0)


def _by_alarm(flow: str, definition: ModelDefinition) -> bool:
    return (
        flow == "retrain" and definition.watching.log is not None and definition.watching.retrains
    )
