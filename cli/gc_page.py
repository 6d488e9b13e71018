"""What `overnight gc` tells, and does."""

import sys
from datetime import UTC, datetime

from cli.following import user
from cli.outcomes import NOTHING_TO_DO
from cli.progress import size
from cli.terminal import new_table, open_console
from infra import connections
from infra.settings import Settings, load
from store import keys
from store.collecting import collect
from store.errors import UnknownModel
from store.surveying import Leaving, Plan, survey
from store.sweeping import Retention
from store.tables import Table
from tasks import collect as tables
from tasks.collect import Shed

_TABLES = ("rows", "holdout")


def run(model: str | None, *, delete: bool, keep: int, days: float, grace_days: float) -> None:
    """Tell what may go, and let go of it when asked to; leaves with 4 when there is nothing.

    Raises:
        UnknownModel, CorruptVersion, StoreUnavailable, StoreDenied
    """
    settings = load("keeping") if delete else load()
    bucket = connections.bucket(settings)
    known = tuple(filter(keys.is_model, bucket.names_below("models")))
    if model is not None and model not in known:
        raise UnknownModel(model, known)
    retention = Retention(keep=keep, days=days, grace_days=grace_days)
    now = datetime.now(UTC)
    plans = [survey(bucket, name, retention, now) for name in ([model] if model else known)]
    sheds = [one for plan in plans for one in _sheds(settings, plan, retention, delete=False)]
    _print(plans, sheds)
    total = sum(plan.size_bytes for plan in plans) + sum(shed.size_bytes for shed in sheds)
    console = open_console()
    if not any(plan.leaving or plan.returning for plan in plans) and not sheds:
        console.print("nothing to let go of")
        sys.exit(NOTHING_TO_DO)
    if not delete:
        console.print(f"{size(total)} may go; nothing was removed: --delete does it")
        return
    freed = 0
    for shown in plans:
        # Judged anew: reading everything took a while, and what was shown is the most that goes.
        plan = survey(bucket, shown.model, retention, datetime.now(UTC)).within(shown)
        freed += _collected(settings, plan)
        # And once more, as what somebody wanted meanwhile needs its files of the tables.
        plan = survey(bucket, shown.model, retention, datetime.now(UTC))
        freed += sum(one.size_bytes for one in _sheds(settings, plan, retention, delete=True))
    console.print(f"{size(freed)} are free")


def _sheds(settings: Settings, plan: Plan, retention: Retention, *, delete: bool) -> list[Shed]:
    bucket, where = connections.bucket(settings), connections.address(settings)
    found = [
        tables.collect(
            bucket, Table.on_s3(where, plan.model, name), name, plan, retention, delete=delete
        )
        for name in _TABLES
    ]
    return [one for one in found if one.files]


def _collected(settings: Settings, plan: Plan) -> int:
    console = open_console()

    def told(one: Leaving, why: str) -> None:
        console.print(f"{one.model} {one.version} stays: {why}")

    gone = collect(connections.bucket(settings), plan, by=user(), told=told)
    return sum(one.size_bytes for one in gone)


def _print(plans: list[Plan], sheds: list[Shed]) -> None:
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
