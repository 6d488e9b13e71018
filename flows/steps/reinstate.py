"""Reinstate an earlier champion that is better on new arrivals, instead of training."""

from dataclasses import replace

from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from overnight.flows.run.plan import TrainingPlan
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.step import step
from overnight.store.errors import PromotionConflict
from overnight.store.registry.promotions import Promotions
from overnight.tasks.evaluation import reinstate
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.evaluation.reinstate import Reinstated
from overnight.tasks.reporting.report import RunReport


@step
def reconsider(plan: TrainingPlan) -> Reinstated | None:
    """The earlier champion that beats the current one on rows that none of them was trained on."""
    context, registry = plan.context, plan.context.registry
    gate = context.definition.reinstatement
    previous = reinstate.previous_champions(registry.champion.history())
    earlier = tuple(
        version
        for version, manifest in registry.readable_manifests(previous).items()
        if reinstate.is_eligible(manifest, context.definition)
        # The predictor of a version with a tombstone is deleted.
        and registry.tombstones.find(version) is None
    )
    if gate is None or plan.champion is None or not earlier:
        return None
    made_of = [registry.manifest(version).data for version in (plan.champion, *earlier)]
    stamped = context.stamped_rows(plan.snapshot)
    known = context.rows.arrival_names(max(data.dataset_version for data in made_of))
    examples = reinstate.unseen_examples(
        context.definition, stamped, lineages=made_of, known_arrivals=known
    )
    if examples is None:
        return None
    loaded = [context.load_predictor(version) for version in (plan.champion, *earlier)]
    predictors = [PublishedPredictor.of(each.manifest, each.predictor) for each in loaded]
    better = reinstate.reconsider(
        context.definition,
        gate,
        champion=predictors[0],
        earlier=predictors[1:],
        examples=examples,
        # Each arrival since was followed by one look at most.
        looks=max(1, len(set(stamped.column("arrival").unique().to_pylist()) - set(known))),
    )
    get_run_logger().info("%s", better or f"none of {len(earlier)} earlier versions is better")
    return better


def promote_earlier(plan: TrainingPlan, report: RunReport, earlier: Reinstated) -> State:
    """Promote the earlier version, or leave that to the person who decides."""
    model, version, registry = plan.model, earlier.version, plan.context.registry
    report = replace(report, manifest=registry.manifest(version))
    if plan.approval == "manual":
        message = (
            f'{earlier}; `overnight promote {model} {version} --reason "…"` brings it back, '
            f"`overnight retrain {model} --force` trains instead"
        )
        return finish(plan.context, report, "AwaitingApproval", message)
    try:
        actor = plan.actor(str(earlier))
        record = step(Promotions(registry).promote)(version, expected=plan.champion, actor=actor)
    except PromotionConflict as error:
        return finish(plan.context, report, "Superseded", str(error))
    # Recorded as a refusal of this fingerprint, so that the next run does not train it either.
    finding = earlier.finding.model_copy(update={"passed": False, "message": str(earlier)})
    step(registry.refusals.refuse)(plan.fingerprint, (finding,), compared_with=version)
    return await_confirmation(plan.context, report, record, "Promoted")
