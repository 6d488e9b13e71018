"""The nightly walk: from what arrived to the version that serves."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from flows import data_steps, returning, scoring, steps
from flows.ending import end, settle
from flows.parameters import (
    Approval,
    BatchRows,
    Begin,
    Epochs,
    LearningRate,
    ModelName,
    Policy,
    Seed,
)
from flows.planning import (
    asked_for,
    changes,
    entitled,
    make_plan,
    may_take,
    overriding,
    policy,
)
from flows.run.context import ModelContext
from flows.steps import Plan, step
from store.errors import NotProved, PromotionConflict
from store.manifest import Override
from store.registry.actor import Actor
from store.request_proof import Plain
from tasks import materials
from tasks.ingest import Ingested
from tasks.markdown import page
from tasks.recall import Known, Memory, recall
from tasks.report import Story, card


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
    story = Story(model=model, champion=step(registry.champion_version)())
    try:
        override = entitled(context, by, reason, proof, asked=asked) if overrule_gates else None
    except NotProved as unknown:
        return end(context, story, "Refused", str(unknown))
    run = asked_for(by, reason, forced=force, override=override)
    ingested = (
        data_steps.ingest(context, take_next=may_take(context))
        if take_in
        else data_steps.leave(context)
    )
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
    memory = recall(registry, plan.fingerprint, champion=story.champion, replicas=replicas)
    if force or memory.known is Known.NOTHING or (override and memory.known is Known.REFUSED):
        return _walk(plan, story, override=override, approval=approval_policy)
    if memory.version is None or memory.known is Known.SETTLED:
        return end(context, story, "UpToDate", memory.told)
    story = replace(story, manifest=registry.manifest(memory.version))
    return _go_on(plan, story, memory, approval=approval_policy)


def _without_rows(context: ModelContext, story: Story, ingested: Ingested) -> State:
    """There is nothing to learn from yet, and perhaps a reason why."""
    if ingested.findings:
        told = "; ".join(f"{one.slice}: {one.message}" for one in ingested.findings)
        return end(context, story, "Refused", f"the data: {told}")
    return end(context, story, "NothingNew", "no rows ever came in")


def _go_on(plan: Plan, story: Story, memory: Memory, *, approval: Policy) -> State:
    """Where an earlier run of the same fingerprint stopped, unless the world has moved on."""
    assert story.manifest is not None
    compared_with = story.manifest.compared_with
    if memory.known is not Known.UNCONFIRMED and compared_with != story.champion:
        # What is published stays as it is: the same weights become another version.
        steps.clear(plan)
        return _walk(plan, replace(story, manifest=None), override=None, approval=approval)
    # What waits for a person goes on waiting for one, whoever asks now.
    undone = memory.known in {Known.UNDECIDED, Known.UNPROMOTED}
    if undone and story.manifest.approval == "manual":
        approval = "manual"
    return _release(story, expected=compared_with, approval=approval, plan=plan)


def _walk(plan: Plan, story: Story, *, override: Override | None, approval: Policy) -> State:
    """From the rows to a published version, or to the reasons why not."""
    context = plan.context
    # Whoever could not sign the outcome need not begin.
    _ = context.signer
    valid, compared = data_steps.validate(plan)
    plan = replace(plan, data_findings=valid.findings + compared.findings)
    story = replace(story, data_findings=plan.data_findings)
    if not valid.passed:
        return end(context, story, "Refused", f"the data: {valid}")
    if compared.held:
        data_steps.hold(plan, compared)
        return end(context, story, "AwaitingApproval", compared.told(plan.model))
    if not plan.forced and override is None and (back := returning.reconsider(plan)):
        return returning.bring_back(story, back, plan, approval=approval)
    candidate = steps.train(plan)
    evaluation = steps.evaluate(plan, candidate)
    pictures = steps.draw(plan, candidate)
    rehearsed = steps.rehearse(plan, candidate)
    evaluation = replace(evaluation, rehearsal=rehearsed.rehearsal)
    verdict = steps.judge(context, evaluation)
    story = replace(
        story, fitted=candidate.fitted, evaluation=evaluation, pictures=pictures, verdict=verdict
    )
    if not verdict.passed and override is None:
        if not verdict.by_cost_alone:
            refuse = step(context.registry.refuse)
            refuse(plan.fingerprint, verdict.findings, compared_with=plan.champion)
        return end(context, story, "Refused", str(verdict), plan)
    override = overriding(override, verdict)
    story = replace(story, override=override)
    manifest = steps.finished(plan, candidate, evaluation, verdict, override, approval)
    title = f"{plan.model} {candidate.version}"
    told = card(
        replace(story, manifest=manifest),
        context.definition,
        headline="the report",
        message=title,
    )
    files = {
        "golden.npz": rehearsed.golden,
        "report.html": page(told, title=title),
        materials.FILE: materials.bill(plan.model, candidate.version, plan.environment),
    }
    story = replace(story, manifest=steps.publish(plan, candidate, manifest, files))
    return _release(story, expected=plan.champion, approval=approval, plan=plan)


def _release(story: Story, *, expected: str | None, approval: Policy, plan: Plan) -> State:
    """From a published version to one that serves, or to the person who decides."""
    assert story.manifest is not None
    context, registry = plan.context, plan.context.registry
    model, version = story.model, story.manifest.version
    if approval == "manual":
        told = f"{version} passed its gates and waits: `overnight approve {model} {version}`"
        return end(context, story, "AwaitingApproval", told, plan)
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
        return end(context, story, "Superseded", str(conflict), plan)
    return settle(context, story, record, "Promoted", plan)
