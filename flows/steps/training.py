"""The steps from a training plan to a confirmed promotion.

Steps return names, digests and metrics rather than open files or clients, and only unavailable
input or output is retried: a gate's verdict never is.
"""

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from prefect.logging import get_run_logger

from overnight.flows.run.context import ModelContext
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.steps.step import step
from overnight.models import reference
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.manifest import Manifest
from overnight.tasks.evaluation import evaluate as evaluation
from overnight.tasks.evaluation import judge as gates
from overnight.tasks.evaluation import rehearse as rehearsal
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.release import confirm as confirmation
from overnight.tasks.release import publish as publication
from overnight.tasks.training.train import Candidate, Start
from overnight.tasks.training.train import train as train_candidate


def start_weights(context: ModelContext, version: str) -> Start:
    """The weights of a version, verified against its signed manifest."""
    manifest = context.registry.trusted(version).manifest
    return Start(version, context.registry.read_file(manifest, "network.keras"))


@step
def train(plan: TrainingPlan) -> Candidate:
    """Fit in a subprocess, and report its progress."""
    context = plan.context
    progress = ProgressReporter(f"{plan.model}-training")
    candidate = train_candidate(
        context.definition,
        plan.inputs.settings,
        fingerprint=plan.fingerprint,
        training=context.training_examples(plan.snapshot),
        holdout=context.holdout_examples(plan.snapshot),
        folder=plan.folder,
        seconds=context.fit_seconds,
        report=progress,
        start=start_weights(context, plan.champion) if plan.inputs.warm and plan.champion else None,
    )
    progress.done()
    return candidate


@step
def evaluate(plan: TrainingPlan, candidate: Candidate) -> Evaluation:
    """Measure candidate and champion on the same rows."""
    context, champion = plan.context, None
    if plan.champion is not None:
        loaded = context.load_predictor(plan.champion)
        champion = PublishedPredictor.of(loaded.manifest, loaded.predictor)
    holdout = context.holdout_examples(plan.snapshot)
    evaluated = [
        replace(
            evaluation.evaluate(context.definition, candidate, champion, holdout, part),
            holdout=name,
        )
        for name, part in context.holdout_parts(plan.snapshot).items()
    ]
    return replace(evaluated[0], older=tuple(evaluated[1:]))


@step
def draw(plan: TrainingPlan, candidate: Candidate) -> Mapping[str, Path]:
    """Draw the model's plots of its learning curve and its mistakes."""
    holdout = plan.context.holdout_examples(plan.snapshot)
    return evaluation.draw(plan.context.definition, candidate, holdout, plan.folder)


@step
def rehearse(plan: TrainingPlan, candidate: Candidate) -> rehearsal.RehearsalResult:
    """Load the exported bundle in the real serving application, and predict over HTTP."""
    context = plan.context
    return rehearsal.rehearse(
        _draft(plan, candidate),
        publication.bundle(candidate),
        holdout=context.holdout_examples(plan.snapshot),
        expected=evaluation.predictions(candidate),
        folder=plan.folder,
        seconds=context.rehearse_seconds,
        tolerance=context.definition.tolerance,
    )


@step
def check_gates(plan: TrainingPlan) -> None:
    """Check that the gates can hold on the holdout, unless a person overrides them anyway."""
    context = plan.context
    if _is_bound(plan):
        holdout = context.holdout_examples(plan.snapshot)
        for part in context.holdout_parts(plan.snapshot).values():
            rows = holdout if part is None else holdout.take(part)
            gates.check_attainable(context.definition.gates, rows)


@step
def judge(plan: TrainingPlan, measured: Evaluation) -> gates.Verdict:
    """Apply every gate of the model."""
    verdict = gates.judge(measured, plan.context.definition.gates, frozen_holdout=_is_bound(plan))
    get_run_logger().info("gates: %s", verdict)
    return verdict


def _is_bound(plan: TrainingPlan) -> bool:
    """Whether every run is judged on the same rows, and by the gates alone."""
    return plan.context.definition.moving_holdout is None and plan.override is None


def final_manifest(
    plan: TrainingPlan, candidate: Candidate, measured: Evaluation, verdict: gates.Verdict
) -> Manifest:
    """The manifest without its report: the report shows the manifest, and is added by `publish`.

    An override is recorded, with the findings that it overruled, only when a gate refused.
    """
    override = None
    if plan.override is not None and not verdict.passed:
        overruled = tuple(finding.name for finding in verdict.refused)
        override = plan.override.model_copy(update={"overruled": overruled})
    return publication.final_manifest(
        _draft(plan, candidate), measured, verdict, override=override, approval=plan.approval
    )


@step
def make_reference(plan: TrainingPlan, candidate: Candidate) -> tuple[dict[str, bytes], str]:
    """Summarise what the version learned and answers, for its monitor.

    Returns the file by its name; or none, and why: the version is published all the same.
    """
    context = plan.context
    holdout = context.holdout_examples(plan.snapshot)
    made, why = reference.reference_or_why(
        context.definition,
        candidate.version,
        training=context.training_examples(plan.snapshot),
        holdout=holdout,
        answers=lambda: evaluation.exported_answers(context.definition, candidate, holdout),
    )
    if made is None:
        get_run_logger().warning("%s", why)
        return {}, why
    return {reference.FILE: made.encoded()}, ""


@step
def publish(
    plan: TrainingPlan, candidate: Candidate, manifest: Manifest, files: Mapping[str, bytes]
) -> Manifest:
    """Publish the version: its bundle first, then the signature, and the manifest last."""
    context = plan.context
    bundle = {**publication.bundle(candidate), **files}
    version = publication.publish(context.bucket, manifest, bundle, plan.folder, context.signer)
    return context.registry.manifest(version)


@step
def confirm(context: ModelContext, record: AliasRecord) -> confirmation.Confirmation:
    """Wait until the replicas serve the version, or undo the record when one refuses it."""
    # The notification only saves time, so its failure is no error.
    if problem := confirmation.notify(context.settings.answers_url, record.model):
        get_run_logger().info("%s; replicas find out at their next poll", problem)
    confirmed = confirmation.confirm(
        context.registry.champion,
        record,
        replicas=context.settings.replicas,
        seconds=context.settings.confirm_seconds,
    )
    get_run_logger().info("%s", confirmed)
    return confirmed


def remove_scratch(plan: TrainingPlan) -> None:
    """Delete a candidate's scratch folder: everything worth keeping is in the store."""
    shutil.rmtree(plan.folder, ignore_errors=True)


def _draft(plan: TrainingPlan, candidate: Candidate) -> Manifest:
    return publication.draft(
        plan.context.definition,
        candidate,
        publication.bundle(candidate),
        data=plan.snapshot.lineage,
        code=plan.inputs.code,
        environment=plan.inputs.environment,
        run=plan.run,
        data_findings=plan.data_findings,
    )
