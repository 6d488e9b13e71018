"""When a known regime returns: an earlier version instead of a training."""

from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

import tasks.reconsider
import tasks.snapshot
from flows.ending import end, settle
from flows.parameters import Policy
from flows.steps import Plan, step
from models.examples import Examples
from store.errors import PromotionConflict
from tasks.reconsider import Returned, may_return
from tasks.report import Story


@step
def reconsider(plan: Plan) -> Returned | None:
    """The earlier version that beats the champion on what arrived since, if any does.

    Asked are rows that none of them has learned.
    """
    context = plan.context
    gate = context.definition.returning
    earlier = tuple(
        version
        for version in tasks.reconsider.veterans(context.registry.champion.history())
        if may_return(context.registry.manifest(version), context.definition)
        and context.registry.collected(version) is None
    )
    if gate is None or plan.champion is None or not earlier:
        return None
    tonight = _unlearned(plan, (plan.champion, *earlier))
    if tonight is None:
        return None
    found = tasks.reconsider.reconsider(
        context.definition,
        gate,
        champion=(plan.champion, context.loaded(plan.champion).predictor),
        earlier={version: context.loaded(version).predictor for version in earlier},
        tonight=tonight,
    )
    get_run_logger().info("%s", found or f"none of {len(earlier)} earlier versions is better")
    return found


def _unlearned(plan: Plan, versions: tuple[str, ...]) -> Examples | None:
    """The examples of the snapshot that none of these versions has learned."""
    context = plan.context
    made_of = [context.registry.manifest(version).data for version in versions]
    return tasks.reconsider.unlearned(
        context.definition,
        tasks.snapshot.read_stamped(context.rows, plan.snapshot),
        made_of=made_of,
        seen=context.rows.taken(max(data.dataset_version for data in made_of)),
    )


def bring_back(story: Story, returned: Returned, plan: Plan, *, approval: Policy) -> State:
    """Promote the version that is right again, or leave that to the person who decides."""
    model, version = story.model, returned.version
    context = plan.context
    story = replace(story, manifest=context.registry.manifest(version))
    if approval == "manual":
        told = (
            f'{returned}; `overnight promote {model} {version} --reason "…"` brings it back, '
            f"`overnight retrain {model} --force` trains instead"
        )
        return end(context, story, "AwaitingApproval", told, plan)
    try:
        actor = plan.actor(str(returned))
        record = step(context.registry.promote)(version, expected=plan.champion, actor=actor)
    except PromotionConflict as conflict:
        return end(context, story, "Superseded", str(conflict), plan)
    # What was learned tonight is not learned tomorrow either, unless more arrives.
    finding = returned.finding.model_copy(update={"passed": False, "message": str(returned)})
    step(context.registry.refuse)(plan.fingerprint, (finding,), compared_with=version)
    return settle(context, story, record, "Promoted", plan)
