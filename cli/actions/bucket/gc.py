"""`overnight gc`: list unused files of versions and tables, and delete them."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime

from rich.console import Console

from overnight.cli.runs.exit_codes import DONE, FAILED
from overnight.cli.runs.follow import user
from overnight.cli.terminal import format_bytes, new_table, open_console
from overnight.cli.version_names import ShortNames
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import Settings, load
from overnight.models.errors import UnknownModel
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptRecord
from overnight.store.maintenance import old_runs
from overnight.store.maintenance.garbage_collection import collect
from overnight.store.maintenance.landing_leftovers import Leftover, leftovers, remove
from overnight.store.maintenance.old_runs import MonthOfRuns
from overnight.store.maintenance.retention_plan import Deletion, RetentionPlan, survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.registry.registry import Registry
from overnight.tasks.maintenance.vacuum import Reclaimable, vacuum_table

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
    """List what may be deleted, and delete it with `delete`; to have nothing to delete is success.

    A model with an unreadable record is skipped and reported, and the exit code is 1.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied
    """
    # Of the identities of a store, only `keeping` may delete files of versions.
    settings = load("keeping") if delete else load()
    retention = Retention(keep=keep, days=days, grace_days=grace_days)
    skipped = _Skipped()
    plans = _plans(settings, model, retention, skipped)
    tables = [files for plan in plans for files in _vacuum(settings, plan, retention, delete=False)]
    landed = _leftovers(settings, model, retention)
    months = _old_runs(settings, plans, retention)
    nothing = not any(plan.leaving or plan.returning for plan in plans) and not tables
    nothing = nothing and not landed and not months
    if not as_json:
        _print(plans, tables, landed, months)
    # Standard output is the JSON document alone, so progress goes to standard error.
    console = Console(stderr=True) if as_json else open_console()
    freed = 0
    if delete and not nothing:
        freed = _delete(settings, plans, retention, console, skipped)
        freed += _delete_objects(settings, landed, months)
    if as_json:
        document = to_json(plans, tables, landed, months, freed_bytes=freed)
        document |= {"skipped": skipped.reasons}
        print(json.dumps(document, indent=2))
    elif nothing:
        console.print("nothing to delete")
    elif delete:
        console.print(f"{format_bytes(freed)} freed")
    else:
        total = format_bytes(_total(plans, tables, landed, months))
        console.print(f"{total} may be deleted; nothing was removed: --delete does it")
    for name, reason in skipped.reasons.items():
        console.print(f"{name} is skipped: {reason}")
    sys.exit(FAILED if skipped.reasons else DONE)


def to_json(
    plans: list[RetentionPlan],
    tables: list[Reclaimable],
    landed: list[Leftover],
    months: list[MonthOfRuns],
    *,
    freed_bytes: int,
) -> Document:
    return {
        "size_bytes": _total(plans, tables, landed, months),
        "freed_bytes": freed_bytes,
        "landing": {each.prefix: each.size_bytes for each in landed},
        "models": {
            plan.model: {
                "deletions": [
                    {
                        "version": deletion.version,
                        "files": sorted(deletion.files),
                        "size_bytes": deletion.size_bytes,
                        "reason": deletion.reason,
                    }
                    for deletion in plan.leaving
                ],
                "kept": dict(plan.staying),
                "unfinished": list(plan.unfinished),
                "restored": list(plan.returning),
                "runs": {
                    each.month: {"files": len(each.files), "size_bytes": each.size_bytes}
                    for each in months
                    if each.model == plan.model
                },
                "tables": {
                    files.table: {"files": sorted(files.files), "size_bytes": files.size_bytes}
                    for files in tables
                    if files.model == plan.model
                },
            }
            for plan in plans
        },
    }


def _total(
    plans: list[RetentionPlan],
    tables: list[Reclaimable],
    landed: list[Leftover],
    months: list[MonthOfRuns],
) -> int:
    unneeded = (plans, tables, landed, months)
    return sum(each.size_bytes for group in unneeded for each in group)


def _leftovers(settings: Settings, model: str | None, retention: Retention) -> list[Leftover]:
    """Deliveries that never became visible, also those to models without a version."""
    bucket, now = connections.bucket(settings), datetime.now(UTC)
    names = [model] if model else filter(keys.is_model, bucket.names_below("landing"))
    return [
        each
        for name in names
        for each in leftovers(bucket, name, grace_days=retention.grace_days, now=now)
    ]


def _old_runs(
    settings: Settings, plans: list[RetentionPlan], retention: Retention
) -> list[MonthOfRuns]:
    bucket, now = connections.bucket(settings), datetime.now(UTC)
    return [
        each
        for plan in plans
        for each in old_runs.old_runs(bucket, plan.model, days=retention.days, now=now)
    ]


@dataclass
class _Skipped:
    """The models that are skipped, with the reasons."""

    reasons: dict[str, str] = field(default_factory=dict)

    @contextmanager
    def model(self, name: str) -> Iterator[None]:
        """Skip one model when a record of it cannot be read, and continue with the others."""
        try:
            yield
        except CorruptRecord as error:
            self.reasons[name] = str(error)


def _plans(
    settings: Settings, model: str | None, retention: Retention, skipped: _Skipped
) -> list[RetentionPlan]:
    bucket = connections.bucket(settings)
    known = Registry(bucket).models()
    if model is not None and model not in known:
        raise UnknownModel(model, known)
    now, trust = datetime.now(UTC), connections.known_trust(settings)
    plans = []
    for name in [model] if model else known:
        with skipped.model(name):
            plans.append(survey(bucket, name, retention, now, trust=trust))
    return plans


def _delete_objects(settings: Settings, landed: list[Leftover], months: list[MonthOfRuns]) -> int:
    """Delete leftovers of landings and old records of runs, and return their bytes."""
    bucket = connections.bucket(settings)
    freed = sum(each.size_bytes for each in landed if remove(bucket, each))
    for each in months:
        old_runs.remove(bucket, each)
    return freed + sum(each.size_bytes for each in months)


def _delete(
    settings: Settings,
    plans: list[RetentionPlan],
    retention: Retention,
    console: Console,
    skipped: _Skipped,
) -> int:
    """Delete what was listed, and return how many bytes that were."""
    bucket, trust, freed = connections.bucket(settings), connections.known_trust(settings), 0

    def survey_again(model: str) -> RetentionPlan:
        return survey(bucket, model, retention, datetime.now(UTC), trust=trust)

    def report(deletion: Deletion, reason: str) -> None:
        console.print(f"{deletion.model} {deletion.version} is kept: {reason}")

    for listed in plans:
        with skipped.model(listed.model):
            # Surveyed again, because reading everything took a while; nothing that was not listed
            # is deleted.
            plan = survey_again(listed.model).within(listed)
            deleted = collect(bucket, plan, by=user(), on_skip=report)
            freed += sum(deletion.size_bytes for deletion in deleted)
            # And again before the tables: a version that was kept after all needs its files there.
            plan = survey_again(listed.model)
            files = _vacuum(settings, plan, retention, delete=True)
            freed += sum(table.size_bytes for table in files)
    return freed


def _vacuum(
    settings: Settings, plan: RetentionPlan, retention: Retention, *, delete: bool
) -> list[Reclaimable]:
    bucket, address = connections.bucket(settings), connections.address(settings)
    reclaimable = [
        vacuum_table(
            bucket, Dataset.on_s3(address, plan.model, name), name, plan, retention, delete=delete
        )
        for name in _TABLES
    ]
    return [table for table in reclaimable if table.files]


def _print(
    plans: list[RetentionPlan],
    tables: list[Reclaimable],
    landed: list[Leftover],
    months: list[MonthOfRuns],
) -> None:
    console = open_console()
    kept = new_table("model", "version", "kept because")
    deletions = new_table("model", "version", "files", "size", "may be deleted because")
    for plan in plans:
        reasons = dict(plan.staying)
        reasons |= dict.fromkeys(plan.unfinished, "it may be in progress")
        reasons |= dict.fromkeys(plan.returning, "it is restored: its collection was interrupted")
        listed = (*reasons, *(deletion.version for deletion in plan.leaving))
        short = ShortNames(listed if console.is_terminal else None)
        for version, reason in reasons.items():
            kept.add_row(plan.model, short(version), reason)
        for deletion in plan.leaving:
            size = format_bytes(deletion.size_bytes)
            files = str(len(deletion.files))
            deletions.add_row(plan.model, short(deletion.version), files, size, deletion.reason)
    for table in tables:
        deletions.add_row(
            table.model,
            f"table {table.table}",
            str(len(table.files)),
            format_bytes(table.size_bytes),
            "no version that is kept needs them",
        )
    for each in landed:
        model, date, arrival = each.prefix.split("/")[1:]
        reason = "its delivery was refused or cut short"
        size = format_bytes(each.size_bytes)
        deletions.add_row(model, f"{arrival} of {date}", str(len(each.files)), size, reason)
    for month in months:
        size, files = format_bytes(month.size_bytes), str(len(month.files))
        reason = f"over {old_runs.KEPT_DAYS} days old"
        deletions.add_row(month.model, f"runs of {month.month}", files, size, reason)
    for rows in (kept, deletions):
        if rows.row_count:
            console.print(rows)
