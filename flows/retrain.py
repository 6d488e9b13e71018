"""The retraining run: from new arrivals to the version that serves."""

from dataclasses import replace

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.errors import IncompleteRequest, NotAuthorized
from overnight.flows.run import plan as planning
from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.inputs import changes
from overnight.flows.run.parameters import (
    Approval,
    BatchRows,
    Epochs,
    LearningRate,
    ModelName,
    Seed,
    StartFrom,
)
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.run.run_records import HOOKS
from overnight.flows.steps import data, feedback, reinstate, scoring, training
from overnight.flows.steps.finish import await_confirmation, finish, finish_unfulfilled
from overnight.flows.steps.step import step
from overnight.store.errors import PromotionConflict, Unauthenticated
from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.refusals import Refusal
from overnight.store.trust.request_proof import Plain
from overnight.tasks.data.admission import Ingested
from overnight.tasks.errors import Unlearnable
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.release import sbom
from overnight.tasks.release.resume import PriorProgress, PriorRun, find_prior_run
from overnight.tasks.reporting.markdown import page
from overnight.tasks.reporting.report import RunReport, render


@flow(name="retrain", flow_run_name=run_name, persist_result=False, **HOOKS)
def retrain(
    model: ModelName = "digits",
    requested_by: str = "",
    reason: str = "",
    force: bool = False,
    approval: Approval = "as declared",
    start_from: StartFrom = "as declared",
    ingest_first: bool = True,
    epochs: Epochs | None = None,
    learning_rate: LearningRate | None = None,
    batch_rows: BatchRows | None = None,
    seed: Seed | None = None,
    override_gates: bool = False,
    proof: str = "",
) -> State:
    """Ingest what arrived, train a candidate, and promote it when it passes its gates.

    A run with nothing new ends as UpToDate in seconds. A candidate that a gate refuses ends as
    Refused; the card of the run says why.

    Args:
        model: The model to keep fresh.
        ingest_first: First ingest files that wait in the landing, or the source's next arrival.
            Off, both stay where they are.
        epochs: How often to go through the training rows; empty for the model's own setting.
        learning_rate: The highest learning rate of the fit; empty for the model's own setting.
        batch_rows: Rows in one step of the fit; empty for the model's own setting.
        seed: Every random choice of the fit follows from it; empty for the model's own setting.
        approval: Who decides about a version that passed: its gates (automatic) or a person.
        start_from: The initial weights: random (scratch), the champion's, or as the model declares.
            Random in any case when the champion was trained on rows of today's holdout.
        force: Train in any case: though the same data, code, settings and seed were trained
            before, and though an earlier version is better on what arrived. The version records
            it permanently.
        override_gates: Publish even when gates refuse. Needs a reason and the name of somebody
            whom OVERNIGHT_OVERRIDERS authorizes; both are kept permanently.
        requested_by: The name of the person who requests this run; empty when the schedule does.
        reason: Why, for the permanent record of the version.
        proof: Leave it empty: the command line fills it in, and a form cannot. It authenticates a
            person who overrides gates; a name alone is only claimed, and ends the run as Denied
            where tokens are known and people decide about the model.
    """
    changed = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    parameters: dict[str, Plain] = {
        **changed,
        "ingest_first": ingest_first,
        "force": force,
        "approval": approval,
        "start_from": start_from,
    }
    context = ModelContext.open(model)
    champion = step(context.registry.champion_version)()
    report = RunReport(model=model, champion=champion)
    # Before anything is ingested: a run without authorization must change nothing.
    try:
        override = (
            planning.authorize_override(context, requested_by, reason, proof, parameters=parameters)
            if override_gates
            else None
        )
    except (Unauthenticated, NotAuthorized, IncompleteRequest) as error:
        return finish_unfulfilled(context, report, error)
    if ingest_first:
        feedback.land_feedback(context)
        may_fetch = planning.may_fetch_next(context)
        ingested = data.ingest(context, take_next=may_fetch)
    else:
        ingested = data.current_dataset(context)
    report = replace(report, ingested=ingested)
    if ingested.dataset_version is None:
        return _without_rows(context, report, ingested)
    snapshot = step(context.snapshot)()
    try:
        context = data.learn(context, snapshot)
    except Unlearnable as error:
        return finish(context, report, "Refused", f"the data: {error}")
    feedback.label_answers(context, snapshot)
    # Before training: once a version has learned an arrival, its score on it says nothing.
    scores = scoring.score(context, champion, snapshot)
    plan = planning.make_plan(
        context,
        champion,
        snapshot,
        changed,
        run=planning.run_lineage(requested_by, reason, forced=force, override=override),
        start_from=start_from,
        approval=approval,
        override=override,
    )
    report = replace(
        report,
        data=snapshot.lineage,
        scores=scores,
        changes=changes(context, plan.inputs),
        settings=plan.inputs.settings,
        code=plan.inputs.code,
        request=plan.run,
    )
    prior = find_prior_run(
        context.registry, plan.fingerprint, champion=champion, replicas=context.settings.replicas
    )
    retry = override is not None and prior.progress is PriorProgress.REFUSED
    if force or retry or prior.progress is PriorProgress.NOTHING:
        state = _train_and_publish(plan, report)
    elif prior.version is None or prior.progress is PriorProgress.SETTLED:
        state = _nothing_to_train(context, report, prior)
    else:
        report = replace(report, manifest=context.registry.manifest(prior.version))
        state = _resume(plan, report, prior)
    # Not in a `finally`: a retry of a run that failed continues with its finished parts.
    training.remove_scratch(plan)
    return state


def _without_rows(context: ModelContext, report: RunReport, ingested: Ingested) -> State:
    """The dataset is empty: nothing came in yet, or everything was refused."""
    if ingested.findings:
        message = "; ".join(f"{finding.slice}: {finding.message}" for finding in ingested.findings)
        return finish(context, report, "Refused", f"the data: {message}")
    return finish(context, report, "NothingNew", "no rows ever came in")


def _nothing_to_train(context: ModelContext, report: RunReport, prior: PriorRun) -> State:
    """Nothing is new; or what is new waits for a person."""
    held = report.ingested.held if report.ingested else ()
    if not held:
        return finish(context, report, "UpToDate", prior.message)
    message = (
        f"{held[0]} has labels that a person must see first: `overnight accept {context.model} "
        f"{held[0]}` to learn from them, `overnight exclude {context.model} {held[0]}` not to"
    )
    return finish(context, report, "AwaitingApproval", message)


def _resume(plan: TrainingPlan, report: RunReport, prior: PriorRun) -> State:
    """Continue where an earlier run of the same fingerprint stopped.

    When the champion has changed since, the version's comparison is out of date: it is trained and
    compared again, as another version.
    """
    manifest = report.manifest
    assert manifest is not None
    if (
        prior.progress is not PriorProgress.UNCONFIRMED
        and manifest.compared_with != report.champion
    ):
        # Training is deterministic and the published version is immutable: the same weights are
        # published again, under another version with the new comparison.
        training.remove_scratch(plan)
        return _train_and_publish(replace(plan, override=None), replace(report, manifest=None))
    # A version made for manual approval stays so, whatever this run requests.
    undone = prior.progress in {PriorProgress.UNDECIDED, PriorProgress.UNPROMOTED}
    if undone and manifest.approval == "manual":
        plan = replace(plan, approval="manual")
    return _release(plan, report, expected=manifest.compared_with)


def _train_and_publish(plan: TrainingPlan, report: RunReport) -> State:
    """Validate the data, train, evaluate, apply the gates, publish and release.

    Ends early as Refused or AwaitingApproval, or with an earlier version that beats the champion.
    """
    context = plan.context
    # Opened here because a missing signing key must fail before hours of training, not after.
    _ = context.signer
    valid, compared = data.validate(plan)
    plan = replace(plan, data_findings=valid.findings + compared.findings)
    report = replace(report, data_findings=plan.data_findings)
    if not valid.passed:
        return finish(context, report, "Refused", f"the data: {valid}")
    if compared.pending:
        data.park_for_review(plan, compared)
        return finish(context, report, "AwaitingApproval", compared.message(plan.model))
    wants_training = plan.run.forced or plan.override is not None
    if not wants_training and (earlier := reinstate.reconsider(plan)):
        return reinstate.promote_earlier(plan, report, earlier)
    training.check_gates(plan)
    candidate = training.train(plan)
    evaluation = training.evaluate(plan, candidate)
    pictures = training.draw(plan, candidate)
    rehearsed = training.rehearse(plan, candidate)
    evaluation = replace(evaluation, rehearsal=rehearsed.rehearsal)
    verdict = training.judge(plan, evaluation)
    report = replace(
        report, fitted=candidate.fitted, evaluation=evaluation, pictures=pictures, verdict=verdict
    )
    if not verdict.passed and plan.override is None:
        # Cost depends on this machine and answers over HTTP on serving's code. Neither is in the
        # fingerprint, so such a refusal must not stop the next run from trying again.
        if not verdict.by_cost_alone:
            step(context.registry.refusals.keep)(_refusal(plan, report))
        return finish(context, report, "Refused", str(verdict))
    if verdict.undecided and plan.override is None:
        # No gate could compare with the champion: that is for a person to do.
        plan = replace(plan, approval="manual")
    manifest = training.final_manifest(plan, candidate, evaluation, verdict)
    watched_by, unwatched = training.make_reference(plan, candidate)
    report = replace(report, override=manifest.override, manifest=manifest, unwatched=unwatched)
    title = f"{plan.model} {candidate.version}"
    card = render(report, context.definition, headline=_judged(plan, verdict), message=title)
    files = {
        "golden.npz": rehearsed.golden,
        **watched_by,
        "report.html": page(card, title=title),
        sbom.FILE: sbom.build(plan.model, candidate.version, plan.inputs.environment),
    }
    report = replace(report, manifest=training.publish(plan, candidate, manifest, files))
    return _release(plan, report, expected=plan.champion)


def _refusal(plan: TrainingPlan, report: RunReport) -> Refusal:
    """The record of a candidate that its gates refused."""
    fitted, evaluation, verdict = report.fitted, report.evaluation, report.verdict
    assert verdict is not None
    return Refusal(
        model=plan.model,
        fingerprint=plan.fingerprint,
        findings=verdict.findings,
        compared_with=plan.champion,
        measurements=evaluation.measurements if evaluation else (),
        data_findings=plan.data_findings,
        rows=plan.snapshot.lineage.rows,
        run=plan.run.name,
        run_url=plan.run.url,
        seconds=fitted.seconds if fitted else None,
    )


def _judged(plan: TrainingPlan, verdict: Verdict) -> str:
    """What the report of a version says of it: it is stored before anybody decides."""
    if not verdict.passed:
        return f"{len(verdict.refused)} gates failed, overridden by {plan.run.by}"
    return f"{verdict}; {'a person decides' if plan.approval == 'manual' else 'to be promoted'}"


def _release(plan: TrainingPlan, report: RunReport, *, expected: str | None) -> State:
    """Promote a published version, or leave that to the person who decides."""
    manifest, registry = report.manifest, plan.context.registry
    assert manifest is not None
    version = manifest.version
    if plan.approval == "manual":
        undecided = Verdict(manifest.findings).undecided
        message = (
            f"{version} passed its gates and waits: `overnight approve {plan.model} {version}`"
            f"{f'; {undecided}' if undecided else ''}"
        )
        return finish(plan.context, report, "AwaitingApproval", message)
    override = manifest.override
    approver = (
        Actor(override.by, override.reason, override.authenticated)
        if override
        else Actor("gates", "every gate holds")
    )
    step(registry.decisions.decide)(version, "approved", approver)
    # The reason in the manifest, and not that of this run, which may merely resume it.
    rows = f"retrained on {manifest.data.rows:,} rows"
    why = "; ".join(part for part in (rows, manifest.run.why) if part)
    actor = Actor(plan.run.by, why, plan.run.authenticated)
    try:
        record = step(Promotions(registry).promote)(version, expected=expected, actor=actor)
    except PromotionConflict as error:
        return finish(plan.context, report, "Superseded", str(error))
    return await_confirmation(plan.context, report, record, "Promoted")
