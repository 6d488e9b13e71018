"""The nightly walk: from what arrived to the version that serves."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import (
    Approval,
    BatchRows,
    Begin,
    Epochs,
    LearningRate,
    ModelName,
    Policy,
    Seed,
)
from overnight.flows.run.plan import (
    TrainingPlan,
    asked_for,
    changes,
    entitled,
    make_plan,
    may_take,
    overriding,
    policy,
)
from overnight.flows.steps import data, reinstate, scoring, training
from overnight.flows.steps.finish import await_confirmation, finish
from overnight.flows.steps.step import step
from overnight.store.errors import PromotionConflict, Unauthenticated
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Override
from overnight.store.trust.request_proof import Plain
from overnight.tasks.data.ingest import Ingested
from overnight.tasks.release import sbom
from overnight.tasks.release.resume import PriorRun, Progress, find_prior_run
from overnight.tasks.reporting.markdown import page
from overnight.tasks.reporting.report import RunReport, render


@flow(name="retrain", persist_result=False)
def retrain(
    model: ModelName = "digits",
    take_in: bool = True,
    epochs: Epochs | None = None,
    learning_rate: LearningRate | None = None,
    batch_rows: BatchRows | None = None,
    seed: Seed | None = None,
    approval: Approval = "as declared",
    begin: Begin = "as declared",
    force: bool = False,
    overrule_gates: bool = False,
    by: str = "",
    reason: str = "",
    proof: str = "",
) -> State:
    """Take in what arrived, train a candidate, and promote it when it passes its gates.

    A night with nothing new ends as UpToDate in seconds. A candidate that a gate refuses ends as
    Refused; the card of the run says why.

    Args:
        model: The model to keep fresh.
        take_in: First take in files that wait in the landing, or the source's next arrival. Off,
            both stay where they are.
        epochs: How often to go through the training rows; empty for the model's own setting.
        learning_rate: The highest learning rate of the fit; empty for the model's own setting.
        batch_rows: Rows in one step of the fit; empty for the model's own setting.
        seed: Every random choice of the fit follows from it; empty for the model's own setting.
        approval: Who decides about a version that passed: its gates (automatic) or a person.
        begin: From which weights: afresh, the champion's, or as the model declares. Afresh in any
            case when the champion learned rows that judge now.
        force: Train in any case: though the same data, code, settings and seed were trained
            before, and though an earlier version is better on what arrived. The version records
            it for ever.
        overrule_gates: Publish even when gates refuse. Needs a reason and the name of somebody
            whom OVERNIGHT_OVERRIDERS entitles; both are kept for ever.
        by: Who asks for this run; empty when the schedule does.
        reason: Why, for the record of the version, for ever.
        proof: Who it is, when the command line asks; leave it empty here.
    """
    changed = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    walk = {"take_in": take_in, "force": force, "approval": approval, "begin": begin}
    asked: dict[str, Plain] = {**changed, **walk}
    context = ModelContext.open(model)
    registry = context.registry
    story = RunReport(model=model, champion=step(registry.champion_version)())
    try:
        override = entitled(context, by, reason, proof, asked=asked) if overrule_gates else None
    except Unauthenticated as unknown:
        return finish(context, story, "Refused", str(unknown))
    run = asked_for(by, reason, forced=force, override=override)
    ingested = data.ingest(context, take_next=may_take(context)) if take_in else data.leave(context)
    story = replace(story, ingested=ingested)
    if ingested.dataset_version is None:
        return _without_rows(context, story, ingested)
    snapshot = step(context.snapshot)()
    # What arrived is first answered by what serves: the only moment at which nothing knows it.
    scores = scoring.score(context, story.champion, snapshot)
    story = replace(story, data=snapshot.lineage, scores=scores)
    plan = make_plan(context, story, snapshot, changed, run=run, begin=begin)
    story = replace(story, changes=changes(plan), settings=plan.settings, code=plan.code)
    approval_policy = policy(context, approval)
    replicas = context.settings.replicas
    memory = find_prior_run(registry, plan.fingerprint, champion=story.champion, replicas=replicas)
    if (
        force
        or memory.progress is Progress.NOTHING
        or (override and memory.progress is Progress.REFUSED)
    ):
        return _train_and_publish(plan, story, override=override, approval=approval_policy)
    if memory.version is None or memory.progress is Progress.SETTLED:
        return finish(context, story, "UpToDate", memory.message)
    story = replace(story, manifest=registry.manifest(memory.version))
    return _resume(plan, story, memory, approval=approval_policy)


def _without_rows(context: ModelContext, story: RunReport, ingested: Ingested) -> State:
    """There is nothing to learn from yet, and perhaps a reason why."""
    if ingested.findings:
        told = "; ".join(f"{one.slice}: {one.message}" for one in ingested.findings)
        return finish(context, story, "Refused", f"the data: {told}")
    return finish(context, story, "NothingNew", "no rows ever came in")


def _resume(plan: TrainingPlan, story: RunReport, memory: PriorRun, *, approval: Policy) -> State:
    """Where an earlier run of the same fingerprint stopped, unless the world has moved on."""
    assert story.manifest is not None
    compared_with = story.manifest.compared_with
    if memory.progress is not Progress.UNCONFIRMED and compared_with != story.champion:
        # What is published stays as it is: the same weights become another version.
        training.clear(plan)
        return _train_and_publish(
            plan, replace(story, manifest=None), override=None, approval=approval
        )
    # What waits for a person goes on waiting for one, whoever asks now.
    undone = memory.progress in {Progress.UNDECIDED, Progress.UNPROMOTED}
    if undone and story.manifest.approval == "manual":
        approval = "manual"
    return _release(story, expected=compared_with, approval=approval, plan=plan)


def _train_and_publish(
    plan: TrainingPlan, story: RunReport, *, override: Override | None, approval: Policy
) -> State:
    """From the rows to a published version, or to the reasons why not."""
    context = plan.context
    # Whoever could not sign the outcome need not begin.
    _ = context.signer
    valid, compared = data.validate(plan)
    plan = replace(plan, data_findings=valid.findings + compared.findings)
    story = replace(story, data_findings=plan.data_findings)
    if not valid.passed:
        return finish(context, story, "Refused", f"the data: {valid}")
    if compared.pending:
        data.hold(plan, compared)
        return finish(context, story, "AwaitingApproval", compared.message(plan.model))
    if not plan.forced and override is None and (back := reinstate.reconsider(plan)):
        return reinstate.bring_back(story, back, plan, approval=approval)
    candidate = training.train(plan)
    evaluation = training.evaluate(plan, candidate)
    pictures = training.draw(plan, candidate)
    rehearsed = training.rehearse(plan, candidate)
    evaluation = replace(evaluation, rehearsal=rehearsed.rehearsal)
    verdict = training.judge(context, evaluation)
    story = replace(
        story, fitted=candidate.fitted, evaluation=evaluation, pictures=pictures, verdict=verdict
    )
    if not verdict.passed and override is None:
        if not verdict.by_cost_alone:
            refuse = step(context.registry.refuse)
            refuse(plan.fingerprint, verdict.findings, compared_with=plan.champion)
        return finish(context, story, "Refused", str(verdict), plan)
    override = overriding(override, verdict)
    story = replace(story, override=override)
    manifest = training.finished(plan, candidate, evaluation, verdict, override, approval)
    title = f"{plan.model} {candidate.version}"
    told = render(
        replace(story, manifest=manifest),
        context.definition,
        headline="the report",
        message=title,
    )
    files = {
        "golden.npz": rehearsed.golden,
        "report.html": page(told, title=title),
        sbom.FILE: sbom.build(plan.model, candidate.version, plan.environment),
    }
    story = replace(story, manifest=training.publish(plan, candidate, manifest, files))
    return _release(story, expected=plan.champion, approval=approval, plan=plan)


def _release(
    story: RunReport, *, expected: str | None, approval: Policy, plan: TrainingPlan
) -> State:
    """From a published version to one that serves, or to the person who decides."""
    assert story.manifest is not None
    context, registry = plan.context, plan.context.registry
    model, version = story.model, story.manifest.version
    if approval == "manual":
        told = f"{version} passed its gates and waits: `overnight approve {model} {version}`"
        return finish(context, story, "AwaitingApproval", told, plan)
    overruled = story.manifest.override
    approver = (
        Actor(overruled.by, overruled.reason, overruled.proved)
        if overruled
        else Actor("gates", "every gate holds")
    )
    step(registry.decide)(version, "approved", approver)
    try:
        rows = f"retrained on {story.manifest.data.rows:,} rows"
        why = "; ".join(part for part in (rows, story.manifest.run.why) if part)
        actor = Actor(plan.run.by, why, plan.run.proved)
        record = step(registry.promote)(version, expected=expected, actor=actor)
    except PromotionConflict as conflict:
        return finish(context, story, "Superseded", str(conflict), plan)
    return await_confirmation(context, story, record, "Promoted", plan)
