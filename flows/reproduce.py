"""Train a published version again, from what its manifest records, and say how it differs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

import overnight.tasks.data.snapshot
import overnight.tasks.evaluation.reproduce
import overnight.tasks.training.train
from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.flows.steps.training import start_of
from overnight.store.errors import NothingPublished
from overnight.store.registry.manifest import CodeLineage, Manifest
from overnight.store.registry.registry import Registry
from overnight.tasks.evaluation.explain import Present
from overnight.tasks.evaluation.reproduce import NETWORK, PREDICTOR, Reproduction
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training import lineage, source_checkout
from overnight.tasks.training.train import Candidate


@flow(name="reproduce", persist_result=False)
def reproduce(model: ModelName = "digits", version: Version | None = None) -> State:
    """Train a version again from its recorded rows, settings, seed and sources, and compare.

    What is not as it was is logged before anything is trained. Ends as Reproduced when every
    weight is the same bit for bit, and else as Differs; the card tells the differences in weights,
    metrics and answers. Nothing is published.

    Args:
        model: The model it belongs to.
        version: The version; empty for the champion.
    """
    context = ModelContext.open(model)
    made = recorded(context, version)
    story = RunReport(model=model, manifest=made, data=made.data)
    check_rows(context, made)
    mismatches = check_environment(context, made)
    folder = scratch(context, made)
    candidate = train_again(context, made, folder)
    found = compare(context, made, candidate, mismatches)
    shutil.rmtree(folder, ignore_errors=True)
    story = replace(story, reproduction=found)
    return finish(context, story, "Reproduced" if found.identical else "Differs", str(found))


def scratch(context: ModelContext, made: Manifest) -> Path:
    """Where a version is trained again: by other sources elsewhere.

    What a run that was cut short left finished is taken up only by one that fits as it did.
    """
    return context.work(f"reproduce-{made.version}-{_code(context, made).digest[:12]}")


@step
def recorded(context: ModelContext, version: str | None) -> Manifest:
    """What the manifest of a version, or of the champion, records."""
    if version is None:
        version = context.registry.champion_version()
    if version is None:
        raise NothingPublished(context.model, Registry(context.bucket).models())
    return context.registry.trusted(version).manifest


@step
def check_rows(context: ModelContext, made: Manifest) -> None:
    """Hold the dataset's rows against the recorded digests, before anything is trained."""
    found = overnight.tasks.data.snapshot.snapshot(
        context.rows,
        context.holdout,
        version=made.data.dataset_version,
        without=made.data.without,
        judged_from=made.data.judged_from,
    )
    overnight.tasks.evaluation.reproduce.check_rows(made, found)


@step
def check_environment(context: ModelContext, made: Manifest) -> tuple[str, ...]:
    """What is not as it was and could not be brought back: told before hours go into a fit.

    It stops nothing, because the weights may come out the same all the same.
    """
    now = Present(
        data=made.data,
        code=_code(context, made),
        environment=lineage.environment(),
        settings=made.training.settings,
    )
    found = overnight.tasks.evaluation.reproduce.mismatches(made, now)
    for mismatch in found:
        get_run_logger().warning("not as it was: %s", mismatch)
    return found


@step
def train_again(context: ModelContext, made: Manifest, folder: Path) -> Candidate:
    """Fit on the recorded rows with the recorded settings, by the recorded sources."""
    rows = overnight.tasks.evaluation.reproduce.recorded_snapshot(made)
    declared = context.definition.settings
    tell = ProgressReporter(f"{made.model}-training")
    with _sources(context, made, folder) as tree:
        candidate = overnight.tasks.training.train.train(
            context.definition,
            type(declared).model_validate(made.training.settings),
            fingerprint=made.fingerprint,
            training=context.training_examples(rows),
            holdout=context.holdout_examples(rows),
            folder=folder,
            seconds=context.settings.fit_seconds,
            report=tell,
            start=start_of(context, begun) if (begun := made.training.continued_from) else None,
            tree=tree,
        )
    tell.done()
    return candidate


@step
def compare(
    context: ModelContext, made: Manifest, candidate: Candidate, mismatches: tuple[str, ...]
) -> Reproduction:
    """Weights, predictors, measurements and answers of both."""
    names = (NETWORK, PREDICTOR)
    return overnight.tasks.evaluation.reproduce.compare(
        context.definition,
        made,
        {name: context.registry.read_file(made, name) for name in names},
        {name: candidate.read(name) for name in names},
        holdout=context.holdout_examples(
            overnight.tasks.evaluation.reproduce.recorded_snapshot(made)
        ),
        mismatches=mismatches,
    )


def _code(context: ModelContext, made: Manifest) -> CodeLineage:
    """The sources that fitted."""
    now = lineage.code(context.definition)
    return (
        now
        if now.digest != made.code.digest and source_checkout.unavailable_reason(made.code)
        else made.code
    )


@contextmanager
def _sources(context: ModelContext, made: Manifest, folder: Path) -> Iterator[Path | None]:
    """The checkout that fits: none for this one, when it is the same or no other can be had."""
    if lineage.code(context.definition).digest == made.code.digest:
        yield None
        return
    if why := source_checkout.unavailable_reason(made.code):
        get_run_logger().warning("the sources here are not those of then, and %s", why)
        yield None
        return
    with source_checkout.checkout(made.code, folder.with_name(f"{folder.name}-sources")) as tree:
        get_run_logger().info("fitting with the sources of %s", made.code.commit[:12])
        yield tree
