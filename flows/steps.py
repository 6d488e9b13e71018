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
from flows.house import House
from flows.loading import loaded
from flows.parameters import Policy
from flows.telling import Teller
from models.definition import TrainingSettings
from models.errors import SourceUnavailable
from models.evaluation import Evaluation
from store.aliases import AliasLog, AliasRecord
from store.errors import StoreUnavailable
from store.manifest import (
    CodeLineage,
    EnvironmentLineage,
    Finding,
    Manifest,
    Override,
    RunLineage,
)
from store.registry.registry import ModelRegistry
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

    model: str
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


@step
def champion(model: str) -> str | None:
    """The version that serves now; read once and handed to the promotion."""
    record = AliasLog(House.of(model).bucket, model).current()
    return record.version if record else None


def start_of(house: House, version: str) -> tasks.train.Start:
    """The weights of a version, verified against its signed manifest."""
    return tasks.train.Start(
        version,
        ModelRegistry(house.bucket, house.made(version).model).read_file(
            house.made(version), "network.keras"
        ),
    )


@step
def train(plan: Plan) -> Candidate:
    """Fit in a process of its own, telling how far it has come."""
    house = House.of(plan.model)
    tell = Teller(f"{plan.model}-training")
    candidate = tasks.train.train(
        house.definition,
        plan.settings,
        fingerprint=plan.fingerprint,
        training=house.training_examples(plan.snapshot),
        holdout=house.holdout_examples(plan.snapshot),
        folder=plan.folder,
        seconds=house.settings.fit_seconds,
        report=tell,
        start=start_of(house, plan.champion) if plan.warm and plan.champion else None,
    )
    tell.done()
    return candidate


@step
def evaluate(plan: Plan, candidate: Candidate) -> Evaluation:
    """Candidate and champion on the same rows."""
    house = House.of(plan.model)
    serving = None
    if plan.champion is not None:
        predictor = loaded(house, plan.champion).predictor
        serving = tasks.evaluate.Champion(plan.champion, predictor)
    holdout = house.holdout_examples(plan.snapshot)
    return tasks.evaluate.evaluate(house.definition, candidate, serving, holdout)


@step
def draw(plan: Plan, candidate: Candidate) -> Mapping[str, Path]:
    """The model's pictures of how it learned and errs."""
    house = House.of(plan.model)
    holdout = house.holdout_examples(plan.snapshot)
    return tasks.evaluate.draw(house.definition, candidate, holdout, plan.folder)


@step
def rehearse(plan: Plan, candidate: Candidate) -> tasks.rehearse.Rehearsed:
    """The real serving application on the exported bundle, over HTTP."""
    house = House.of(plan.model)
    return tasks.rehearse.rehearse(
        _draft(plan, candidate),
        tasks.publish.bundle(candidate),
        holdout=house.holdout_examples(plan.snapshot),
        expected=tasks.evaluate.predictions(candidate),
        folder=plan.folder,
        seconds=house.settings.rehearse_seconds,
        near=house.definition.near,
    )


@step
def judge(model: str, evaluation: Evaluation) -> Verdict:
    """Ask every gate."""
    verdict = tasks.judge.judge(evaluation, House.of(model).definition.gates)
    get_run_logger().info("gates: %s", verdict)
    return verdict


@step
def remember_refusal(plan: Plan, verdict: Verdict) -> None:
    """Keep what the gates said, so that no night repeats it."""
    ModelRegistry(House.of(plan.model).bucket, plan.model).refuse(
        plan.fingerprint, verdict.findings, compared_with=plan.champion
    )


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
    house = House.of(plan.model)
    bundle = {**tasks.publish.bundle(candidate), **files}
    version = tasks.publish.publish(house.bucket, manifest, bundle, plan.folder, house.signer)
    return ModelRegistry(house.bucket, plan.model).manifest(version)


@step
def confirm(record: AliasRecord) -> confirming.Confirmation:
    """Wait until the replicas serve it, or undo what one of them refuses."""
    house = House.of(record.model)
    if trouble := confirming.tell(house.settings.answers_url, record.model):
        get_run_logger().info("%s; replicas find out at their next poll", trouble)
    confirmation = confirming.confirm(
        house.bucket,
        record,
        replicas=house.settings.replicas,
        seconds=house.settings.confirm_seconds,
    )
    get_run_logger().info("%s", confirmation)
    return confirmation


def clear(plan: Plan) -> None:
    """Throw away a candidate's scratch, once all that matters of it is in the store."""
    shutil.rmtree(plan.folder, ignore_errors=True)


def _draft(plan: Plan, candidate: Candidate) -> Manifest:
    return tasks.publish.draft(
        House.of(plan.model).definition,
        candidate,
        tasks.publish.bundle(candidate),
        data=plan.snapshot.lineage,
        code=plan.code,
        environment=plan.environment,
        run=plan.run,
        data_findings=plan.data_findings,
    )
