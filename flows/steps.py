"""The steps as Prefect runs them: what is tried again, what is shown while it happens.

Only input and output are tried again, when the store is unavailable; a gate's answer never is.
Steps hand on values (names, digests, metrics); each opens the store for itself.
"""

import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.logging import get_run_logger

import tasks.evaluate
import tasks.judge
import tasks.publish
import tasks.rehearse
import tasks.train
from flows.parameters import Policy
from flows.run.context import ModelContext
from flows.telling import Teller
from models.definition import TrainingSettings
from models.errors import SourceUnavailable
from models.evaluation import Evaluation
from store.aliases import AliasRecord
from store.errors import StoreUnavailable
from store.manifest import (
    CodeLineage,
    EnvironmentLineage,
    Finding,
    Manifest,
    Override,
    RunLineage,
)
from store.registry.actor import Actor
from tasks import confirm as confirming
from tasks.judge import Verdict
from tasks.snapshot import Snapshot
from tasks.train import Candidate

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _unavailable(_task: object, _run: object, state: Any) -> bool:
    """Only a store or a source that is merely unavailable is worth asking again."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreUnavailable | SourceUnavailable)


def step(act: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function as a Prefect task: named as it is, never cached, tried again on bad I/O."""
    return task(
        name=act.__name__.replace("_", " "),
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=[1, 5, 15],
        retry_condition_fn=_unavailable,
    )(act)


@dataclass(frozen=True)
class Plan:
    """What a run is about to do, and everything that could change its outcome."""

    context: ModelContext
    settings: TrainingSettings
    champion: str | None
    warm: bool
    forced: bool
    snapshot: Snapshot
    code: CodeLineage
    environment: EnvironmentLineage
    fingerprint: str
    run: RunLineage
    folder: Path
    data_findings: tuple[Finding, ...] = ()

    @property
    def model(self) -> str:
        return self.context.model

    def actor(self, reason: str) -> Actor:
        """Whoever asked for the run; their own reason follows that of the run."""
        reason = "; ".join(part for part in (reason, self.run.why) if part)
        return Actor(self.run.by, reason, self.run.proved)


def start_of(context: ModelContext, version: str) -> tasks.train.Start:
    """The weights of a version, verified against its signed manifest."""
    manifest = context.registry.trusted(version).manifest
    return tasks.train.Start(version, context.registry.read_file(manifest, "network.keras"))


@step
def train(plan: Plan) -> Candidate:
    """Fit in a process of its own, telling how far it has come."""
    context = plan.context
    tell = Teller(f"{plan.model}-training")
    candidate = tasks.train.train(
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
def evaluate(plan: Plan, candidate: Candidate) -> Evaluation:
    """Candidate and champion on the same rows."""
    context = plan.context
    serving = None
    if plan.champion is not None:
        predictor = context.loaded(plan.champion).predictor
        serving = tasks.evaluate.Champion(plan.champion, predictor)
    holdout = context.holdout_examples(plan.snapshot)
    return tasks.evaluate.evaluate(context.definition, candidate, serving, holdout)


@step
def draw(plan: Plan, candidate: Candidate) -> Mapping[str, Path]:
    """The model's pictures of how it learned and errs."""
    context = plan.context
    holdout = context.holdout_examples(plan.snapshot)
    return tasks.evaluate.draw(context.definition, candidate, holdout, plan.folder)


@step
def rehearse(plan: Plan, candidate: Candidate) -> tasks.rehearse.Rehearsed:
    """The real serving application on the exported bundle, over HTTP."""
    context = plan.context
    return tasks.rehearse.rehearse(
        _draft(plan, candidate),
        tasks.publish.bundle(candidate),
        holdout=context.holdout_examples(plan.snapshot),
        expected=tasks.evaluate.predictions(candidate),
        folder=plan.folder,
        seconds=context.settings.rehearse_seconds,
        near=context.definition.near,
    )


@step
def judge(context: ModelContext, evaluation: Evaluation) -> Verdict:
    """Ask every gate."""
    verdict = tasks.judge.judge(evaluation, context.definition.gates)
    get_run_logger().info("gates: %s", verdict)
    return verdict


def finished(
    plan: Plan,
    candidate: Candidate,
    evaluation: Evaluation,
    verdict: Verdict,
    override: Override | None,
    approval: Policy,
) -> Manifest:
    """The manifest as it is before it lists the report, which tells what is in it."""
    return tasks.publish.finished(
        _draft(plan, candidate), evaluation, verdict, override=override, approval=approval
    )


@step
def publish(
    plan: Plan, candidate: Candidate, manifest: Manifest, files: Mapping[str, bytes]
) -> Manifest:
    """Make the version visible: bundle first, signed, manifest last."""
    context = plan.context
    bundle = {**tasks.publish.bundle(candidate), **files}
    version = tasks.publish.publish(context.bucket, manifest, bundle, plan.folder, context.signer)
    return context.registry.manifest(version)


@step
def confirm(context: ModelContext, record: AliasRecord) -> confirming.Confirmation:
    """Wait until the replicas serve it, or undo what one of them refuses."""
    if trouble := confirming.tell(context.settings.answers_url, record.model):
        get_run_logger().info("%s; replicas find out at their next poll", trouble)
    confirmation = confirming.confirm(
        context.bucket,
        record,
        replicas=context.settings.replicas,
        seconds=context.settings.confirm_seconds,
    )
    get_run_logger().info("%s", confirmation)
    return confirmation


def clear(plan: Plan) -> None:
    """Throw away a candidate's scratch, once all that matters of it is in the store."""
    shutil.rmtree(plan.folder, ignore_errors=True)


def _draft(plan: Plan, candidate: Candidate) -> Manifest:
    return tasks.publish.draft(
        plan.context.definition,
        candidate,
        tasks.publish.bundle(candidate),
        data=plan.snapshot.lineage,
        code=plan.code,
        environment=plan.environment,
        run=plan.run,
        data_findings=plan.data_findings,
    )
