"""The steps as Prefect runs them: what is tried again, what is shown while it happens.

Only input and output are tried again, when the store is unavailable; a gate's answer never is.
Steps hand on values (names, digests, metrics); each opens the store for itself.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path

from prefect.logging import get_run_logger

import overnight.tasks.evaluation.evaluate
import overnight.tasks.evaluation.judge
import overnight.tasks.evaluation.rehearse
import overnight.tasks.release.publish
import overnight.tasks.training.train
from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import Policy
from overnight.flows.run.plan import TrainingPlan
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.steps.step import step
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.manifest import (
    Manifest,
    Override,
)
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.release import confirm as confirming
from overnight.tasks.training.train import Candidate


def start_of(context: ModelContext, version: str) -> overnight.tasks.training.train.Start:
    """The weights of a version, verified against its signed manifest."""
    manifest = context.registry.trusted(version).manifest
    return overnight.tasks.training.train.Start(
        version, context.registry.read_file(manifest, "network.keras")
    )


@step
def train(plan: TrainingPlan) -> Candidate:
    """Fit in a process of its own, telling how far it has come."""
    context = plan.context
    tell = ProgressReporter(f"{plan.model}-training")
    candidate = overnight.tasks.training.train.train(
        context.definition,
        plan.settings,
        fingerprint=plan.fingerprint,
        training=context.training_examples(plan.snapshot),
        holdout=context.holdout_examples(plan.snapshot),
        folder=plan.folder,
        seconds=context.settings.fit_seconds,
        report=tell,
        start=start_of(context, plan.champion) if plan.warm and plan.champion else None,
    )
    tell.done()
    return candidate


@step
def evaluate(plan: TrainingPlan, candidate: Candidate) -> Evaluation:
    """Candidate and champion on the same rows."""
    context = plan.context
    serving = None
    if plan.champion is not None:
        predictor = context.loaded(plan.champion).predictor
        serving = overnight.tasks.evaluation.evaluate.Champion(plan.champion, predictor)
    holdout = context.holdout_examples(plan.snapshot)
    return overnight.tasks.evaluation.evaluate.evaluate(
        context.definition, candidate, serving, holdout
    )


@step
def draw(plan: TrainingPlan, candidate: Candidate) -> Mapping[str, Path]:
    """The model's pictures of how it learned and errs."""
    context = plan.context
    holdout = context.holdout_examples(plan.snapshot)
    return overnight.tasks.evaluation.evaluate.draw(
        context.definition, candidate, holdout, plan.folder
    )


@step
def rehearse(
    plan: TrainingPlan, candidate: Candidate
) -> overnight.tasks.evaluation.rehearse.RehearsalResult:
    """The real serving application on the exported bundle, over HTTP."""
    context = plan.context
    return overnight.tasks.evaluation.rehearse.rehearse(
        _draft(plan, candidate),
        overnight.tasks.release.publish.bundle(candidate),
        holdout=context.holdout_examples(plan.snapshot),
        expected=overnight.tasks.evaluation.evaluate.predictions(candidate),
        folder=plan.folder,
        seconds=context.settings.rehearse_seconds,
        near=context.definition.near,
    )


@step
def judge(context: ModelContext, evaluation: Evaluation) -> Verdict:
    """Ask every gate."""
    verdict = overnight.tasks.evaluation.judge.judge(evaluation, context.definition.gates)
    get_run_logger().info("gates: %s", verdict)
    return verdict


def finished(
    plan: TrainingPlan,
    candidate: Candidate,
    evaluation: Evaluation,
    verdict: Verdict,
    override: Override | None,
    approval: Policy,
) -> Manifest:
    """The manifest as it is before it lists the report, which tells what is in it."""
    return overnight.tasks.release.publish.final_manifest(
        _draft(plan, candidate), evaluation, verdict, override=override, approval=approval
    )


@step
def publish(
    plan: TrainingPlan, candidate: Candidate, manifest: Manifest, files: Mapping[str, bytes]
) -> Manifest:
    """Make the version visible: bundle first, signed, manifest last."""
    context = plan.context
    bundle = {**overnight.tasks.release.publish.bundle(candidate), **files}
    version = overnight.tasks.release.publish.publish(
        context.bucket, manifest, bundle, plan.folder, context.signer
    )
    return context.registry.manifest(version)


@step
def confirm(context: ModelContext, record: AliasRecord) -> confirming.Confirmation:
    """Wait until the replicas serve it, or undo what one of them refuses."""
    if trouble := confirming.notify(context.settings.answers_url, record.model):
        get_run_logger().info("%s; replicas find out at their next poll", trouble)
    confirmation = confirming.confirm(
        context.bucket,
        record,
        replicas=context.settings.replicas,
        seconds=context.settings.confirm_seconds,
    )
    get_run_logger().info("%s", confirmation)
    return confirmation


def clear(plan: TrainingPlan) -> None:
    """Throw away a candidate's scratch, once all that matters of it is in the store."""
    shutil.rmtree(plan.folder, ignore_errors=True)


def _draft(plan: TrainingPlan, candidate: Candidate) -> Manifest:
    return overnight.tasks.release.publish.draft(
        plan.context.definition,
        candidate,
        overnight.tasks.release.publish.bundle(candidate),
        data=plan.snapshot.lineage,
        code=plan.code,
        environment=plan.environment,
        run=plan.run,
        data_findings=plan.data_findings,
    )
