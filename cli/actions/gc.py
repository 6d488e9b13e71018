"""What `overnight gc` tells, and does."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console

from overnight.cli.runs.exit_codes import DONE, FAILED, NOTHING_TO_DO
from overnight.cli.runs.follow import user
from overnight.cli.terminal import new_table, open_console, size
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings, load
from overnight.models.errors import UnknownModel
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptRecord
from overnight.store.maintenance.garbage_collection import collect
from overnight.store.maintenance.retention_plan import Deletion, RetentionPlan, survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.registry import Registry
from overnight.tasks.maintenance import vacuum as tables
from overnight.tasks.maintenance.vacuum import Reclaimable

_TABLES = ("rows", "holdout")


def run(
    model: str | None,
    *,
    delete: bool,
    keep: int,
    days: float,
    grace_days: float,
    as_json: bool = False,
) -> None:
    """Tell what may go, and let go of it when asked to; leaves with 4 when there is nothing.

    A model of which a record cannot be read is left alone and told, and the leave is with 1.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied
    """
    settings = load("keeping") if delete else load()
    retention = Retention(keep=keep, days=days, grace_days=grace_days)
    skipped = _Skipped()
    plans = _plans(settings, model, retention, skipped)
    sheds = [one for plan in plans for one in _sheds(settings, plan, retention, delete=False)]
    nothing = not any(plan.leaving or plan.returning for plan in plans) and not sheds
    if not as_json:
        _print(plans, sheds)
    # Who reads the document hears elsewhere of what stays after all.
    console = Console(stderr=True) if as_json else open_console()
    freed = _freed(settings, plans, retention, console, skipped) if delete and not nothing else 0
    if as_json:
        told = document(plans, sheds, freed_bytes=freed) | {"skipped": skipped.why}
        print(json.dumps(told, indent=2))
    elif nothing:
        console.print("nothing to let go of")
    elif delete:
        console.print(f"{size(freed)} are free")
    else:
        total = size(_total(plans, sheds))
        console.print(f"{total} may go; nothing was removed: --delete does it")
    for name, why in skipped.why.items():
        console.print(f"{name} is left alone: {why}")
    sys.exit(FAILED if skipped.why else NOTHING_TO_DO if nothing else DONE)


def document(plans: list[RetentionPlan], sheds: list[Reclaimable], *, freed_bytes: int) -> Document:
    """The same for a program: what may go of which model, what stays and why."""
    return {
        "size_bytes": _total(plans, sheds),
        "freed_bytes": freed_bytes,
        "models": {
            plan.model: {
                "leaving": [
                    {
                        "version": one.version,
                        "files": sorted(one.files),
                        "size_bytes": one.size_bytes,
                        "because": one.reason,
                    }
                    for one in plan.leaving
                ],
                "staying": dict(plan.staying),
                "unfinished": list(plan.unfinished),
                "returning": list(plan.returning),
                "tables": {
                    shed.table: {"files": sorted(shed.files), "size_bytes": shed.size_bytes}
                    for shed in sheds
                    if shed.model == plan.model
                },
            }
            for plan in plans
        },
    }


def _total(plans: list[RetentionPlan], sheds: list[Reclaimable]) -> int:
    return sum(plan.size_bytes for plan in plans) + sum(shed.size_bytes for shed in sheds)


@dataclass
class _Skipped:
    """The models that are left alone, and why."""

    why: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def model(self, name: str) -> Iterator[None]:
        """What cannot be read of one model is no reason to stop at the others."""
        try:
            yield
        except CorruptRecord as error:
            self.why[name] = str(error)


def _plans(
    settings: Settings, model: str | None, retention: Retention, skipped: _Skipped
) -> list[RetentionPlan]:
    bucket = connections.bucket(settings)
    known = Registry(bucket).models()
    if model is not None and model not in known:
        raise UnknownModel(model, known)
    now = datetime.now(UTC)
    plans = []
    for name in [model] if model else known:
        with skipped.model(name):
            plans.append(survey(bucket, name, retention, now))
    return plans


def _freed(
    settings: Settings,
    plans: list[RetentionPlan],
    retention: Retention,
    console: Console,
    skipped: _Skipped,
) -> int:
    """Let go of what was shown, and tell how many bytes that were."""
    bucket, freed = connections.bucket(settings), 0
    for shown in plans:
        with skipped.model(shown.model):
            # Judged anew: reading everything took a while, and what was shown is the most that
            # goes.
            plan = survey(bucket, shown.model, retention, datetime.now(UTC)).within(shown)
            freed += _collected(bucket, plan, console)
            # And once more, as what somebody wanted meanwhile needs its files of the tables.
            plan = survey(bucket, shown.model, retention, datetime.now(UTC))
            freed += sum(one.size_bytes for one in _sheds(settings, plan, retention, delete=True))
    return freed


def _sheds(
    settings: Settings, plan: RetentionPlan, retention: Retention, *, delete: bool
) -> list[Reclaimable]:
    bucket, where = connections.bucket(settings), connections.address(settings)
    found = [
        tables.vacuum_table(
            bucket, Dataset.on_s3(where, plan.model, name), name, plan, retention, delete=delete
        )
        for name in _TABLES
    ]
    return [one for one in found if one.files]


def _collected(bucket: Bucket, plan: RetentionPlan, console: Console) -> int:
    def told(one: Deletion, why: str) -> None:
        console.print(f"{one.model} {one.version} stays: {why}")

    gone = collect(bucket, plan, by=user(), told=told)
    return sum(one.size_bytes for one in gone)


def _print(plans: list[RetentionPlan], sheds: list[Reclaimable]) -> None:
    console = open_console()
    stays = new_table("model", "version", "stays because")
    for plan in plans:
        for version, why in plan.staying.items():
            stays.add_row(plan.model, version, why)
        for version in plan.unfinished:
            stays.add_row(plan.model, version, "it may be under way")
        for version in plan.returning:
            stays.add_row(plan.model, version, "it comes back: who collected it died on the way")
    if stays.row_count:
        console.print(stays)
    goes = new_table("model", "version", "files", "size", "may go because")
    for plan in plans:
        for one in plan.leaving:
            words = (str(len(one.files)), size(one.size_bytes), one.reason)
            goes.add_row(plan.model, one.version, *words)
    for shed in sheds:
        words = (str(len(shed.files)), size(shed.size_bytes), "no version that stays needs them")
        goes.add_row(shed.model, f"table {shed.table}", *words)
    if goes.row_count:
        console.print(goes)
