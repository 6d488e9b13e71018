"""When a known regime returns: an earlier version instead of a training."""

from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

import overnight.tasks.data.snapshot
import overnight.tasks.evaluation.reinstate
from overnight.flows.run.parameters import Policy
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.step import step
from overnight.models.examples import Examples
from overnight.store.errors import PromotionConflict
from overnight.tasks.evaluation.reinstate import Reinstated, is_eligible
from overnight.tasks.reporting.report import RunReport


@step
def reconsider(plan: TrainingPlan) -> Reinstated | None:
    """The earlier version that beats the champion on what arrived since, if any does.

    Asked are rows that none of them has learned.
    """
    context = plan.context
    gate = context.definition.returning
    earlier = tuple(
        version
        for version in overnight.tasks.evaluation.reinstate.previous_champions(
            context.registry.champion.history()
        )
        if is_eligible(context.registry.manifest(version), context.definition)
        and context.registry.collected(version) is None
    )
    if gate is None or plan.champion is None or not earlier:
        return None
    tonight = _unlearned(plan, (plan.champion, *earlier))
    if tonight is None:
        return None
    found = overnight.tasks.evaluation.reinstate.reconsider(
        context.definition,
        gate,
        champion=(plan.champion, context.loaded(plan.champion).predictor),
        earlier={version: context.loaded(version).predictor for version in earlier},
        tonight=tonight,
    )
    get_run_logger().info("%s", found or f"none of {len(earlier)} earlier versions is better")
    return found


def _unlearned(plan: TrainingPlan, versions: tuple[str, ...]) -> Examples | None:
    """The examples of the snapshot that none of these versions has learned."""
    context = plan.context
    made_of = [context.registry.manifest(version).data for version in versions]
    return overnight.tasks.evaluation.reinstate.unseen_examples(
        context.definition,
        overnight.tasks.data.snapshot.read_stamped(context.rows, plan.snapshot),
        made_of=made_of,
        seen=context.rows.taken(max(data.dataset_version for data in made_of)),
    )


def bring_back(
    story: RunReport, returned: Reinstated, plan: TrainingPlan, *, approval: Policy
) -> State:
    """Promote the version that is right again, or leave that to the person who decides."""
    model, version = story.model, returned.version
    context = plan.context
    story = replace(story, manifest=context.registry.manifest(version))
    if approval == "manual":
        told = (
            f'{returned}; `overnight promote {model} {version} --reason "…"` brings it back, '
            f"`overnight retrain {model} --force` trains instead"
        )
        return finish(context, story, "AwaitingApproval", told, plan)
    try:
        actor = plan.actor(str(returned))
        record = step(context.registry.promote)(version, expected=plan.champion, actor=actor)
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict), plan)
    # What was learned tonight is not learned tomorrow either, unless more arrives.
    finding = returned.finding.model_copy(update={"passed": False, "message": str(returned)})
    step(context.registry.refuse)(plan.fingerprint, (finding,), compared_with=version)
    return await_confirmation(context, story, record, "Promoted", plan)
