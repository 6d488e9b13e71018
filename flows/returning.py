"""When a known regime returns: an earlier version instead of a training."""

from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

import tasks.reconsider
import tasks.snapshot
from flows import decision_steps
from flows.ending import end, settle
from flows.hearing import Word
from flows.house import House
from flows.loading import loaded
from flows.parameters import Policy
from flows.steps import Plan, step
from models.examples import Examples
from store.aliases import AliasLog
from store.errors import PromotionConflict
from store.registry.registry import ModelRegistry
from tasks.reconsider import Returned, may_return
from tasks.report import Story


@step
def reconsider(plan: Plan) -> Returned | None:
    """The earlier version that beats the champion on what arrived since, if any does.

    Asked are rows that none of them has learned.
    """
    house = House.of(plan.model)
    gate = house.definition.returning
    earlier = tuple(
        version
        for version in tasks.reconsider.veterans(AliasLog(house.bucket, plan.model).history())
        if may_return(ModelRegistry(house.bucket, plan.model).manifest(version), house.definition)
        and ModelRegistry(house.bucket, plan.model).collected(version) is None
    )
    if gate is None or plan.champion is None or not earlier:
        return None
    tonight = _unlearned(house, plan, (plan.champion, *earlier))
    if tonight is None:
        return None
    found = tasks.reconsider.reconsider(
        house.definition,
        gate,
        champion=(plan.champion, _predictor(house, plan.champion)),
        earlier={version: _predictor(house, version) for version in earlier},
        tonight=tonight,
    )
    get_run_logger().info("%s", found or f"none of {len(earlier)} earlier versions is better")
    return found


def _unlearned(house: House, plan: Plan, versions: tuple[str, ...]) -> Examples | None:
    """The examples of the snapshot that none of these versions has learned."""
    made_of = [
        ModelRegistry(house.bucket, plan.model).manifest(version).data for version in versions
    ]
    return tasks.reconsider.unlearned(
        house.definition,
        tasks.snapshot.read_stamped(house.rows, plan.snapshot),
        made_of=made_of,
        seen=house.rows.taken(max(data.dataset_version for data in made_of)),
    )


def bring_back(story: Story, returned: Returned, plan: Plan, *, approval: Policy) -> State:
    """Promote the version that is right again, or leave that to the person who decides."""
    model, version = story.model, returned.version
    manifest = ModelRegistry(House.of(model).bucket, model).manifest(version)
    story = replace(story, manifest=manifest)
    if approval == "manual":
        told = (
            f'{returned}; `overnight promote {model} {version} --reason "…"` brings it back, '
            f"`overnight retrain {model} --force` trains instead"
        )
        return end(story, "AwaitingApproval", told, plan)
    try:
        record = decision_steps.promote(
            model,
            version,
            over=plan.champion,
            word=Word(plan.run.by, plan.run.proved),
            reason="; ".join(part for part in (str(returned), plan.run.why) if part),
        )
    except PromotionConflict as conflict:
        return end(story, "Superseded", str(conflict), plan)
    # What was learned tonight is not learned tomorrow either, unless more arrives.
    remember(plan, returned)
    return settle(story, record, "Promoted", plan)


@step
def remember(plan: Plan, returned: Returned) -> None:
    """Keep that nothing was trained on these rows because a version needed none."""
    finding = returned.finding.model_copy(update={"passed": False, "message": str(returned)})
    ModelRegistry(House.of(plan.model).bucket, plan.model).refuse(
        plan.fingerprint, (finding,), compared_with=returned.version
    )


def _predictor(house: House, version: str) -> bytes:
    return loaded(house, version).predictor
