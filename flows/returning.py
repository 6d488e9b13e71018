"""When a known regime returns: an earlier version instead of a training."""

from dataclasses import replace

import pyarrow as pa
import pyarrow.compute as pc
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

import tasks.reconsider
import tasks.snapshot
from flows import steps
from flows.ending import end, settle
from flows.house import House
from flows.parameters import Policy
from flows.steps import Plan, step
from store.aliases import AliasLog
from store.errors import PromotionConflict
from store.versions import read_file, read_manifest
from tasks.ingest import ARRIVAL_COLUMNS
from tasks.reconsider import Returned
from tasks.report import Story


@step
def reconsider(plan: Plan, arrivals: tuple[str, ...]) -> Returned | None:
    """The earlier version that beats the champion on what arrived tonight, if any does."""
    house = House.of(plan.model)
    gate = house.definition.returning
    history = AliasLog(house.bucket, plan.model).history()
    earlier = tasks.reconsider.veterans(history)
    if gate is None or plan.champion is None or not arrivals or not earlier:
        return None
    rows = tasks.snapshot.read_stamped(house.rows, plan.snapshot)
    rows = rows.filter(pc.is_in(rows.column("arrival"), pa.array(arrivals)))
    if not rows.num_rows:
        return None
    found = tasks.reconsider.reconsider(
        house.definition,
        gate,
        champion=(plan.champion, _predictor(house, plan.champion)),
        earlier={version: _predictor(house, version) for version in earlier},
        tonight=house.definition.examples(rows.drop_columns(list(ARRIVAL_COLUMNS))),
    )
    get_run_logger().info("%s", found or f"none of {len(earlier)} earlier versions is better")
    return found


def bring_back(story: Story, returned: Returned, plan: Plan, *, approval: Policy, by: str) -> State:
    """Promote the version that is right again, or leave that to the person who decides."""
    model, version = story.model, returned.version
    manifest = read_manifest(House.of(model).bucket, model, version)
    story = replace(story, manifest=manifest)
    if approval == "manual":
        told = f'{returned}; `overnight promote {model} {version} --reason "…"` brings it back'
        return end(story, "AwaitingApproval", told, plan)
    try:
        record = steps.promote(model, version, over=plan.champion, by=by, reason=str(returned))
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict), plan)
    return settle(story, record, "Promoted", plan)


def _predictor(house: House, version: str) -> bytes:
    manifest = read_manifest(house.bucket, house.model, version)
    return read_file(house.bucket, manifest, "predictor.tflite")
