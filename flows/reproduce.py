"""Train a published version again from its manifest, and report how the result differs."""

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.run.run_records import HOOKS
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.flows.steps.training import start_weights
from overnight.store.errors import NothingPublished
from overnight.store.registry.manifest import CodeLineage, Manifest
from overnight.store.registry.registry import Registry
from overnight.tasks.data.snapshot import retake
from overnight.tasks.evaluation import reproduce as reproduction
from overnight.tasks.evaluation.explain import Present
from overnight.tasks.evaluation.reproduce import NETWORK, PREDICTOR, Reproduction
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training import lineage, source_checkout
from overnight.tasks.training.train import Candidate
from overnight.tasks.training.train import train as train_candidate


@flow(name="reproduce", flow_run_name=run_name, persist_result=False, **HOOKS)
def reproduce(model: ModelName = "digits", version: Version | None = None) -> State:
    """Train a version again from its recorded rows, settings, seed and sources, and compare.

    Differences of this environment are logged before anything is trained. Ends as Reproduced when
    every weight is the same bit for bit, and else as Differs; the card lists the differences in
    weights, metrics and answers. Nothing is published.

    Args:
        model: The model it belongs to.
        version: The version; empty for the champion.
    """
    context = ModelContext.open(model)
    manifest = recorded(context, version)
    # As it was learned then, so that code that learns otherwise now changes nothing.
    context = context.adopting(manifest)
    report = RunReport(model=model, manifest=manifest, data=manifest.data)
    check_rows(context, manifest)
    mismatches = check_environment(context, manifest)
    folder = scratch(context, manifest)
    candidate = train_again(context, manifest, folder)
    result = compare(context, manifest, candidate, mismatches)
    # Not in a `finally`: a retry continues with the finished parts of a run that failed.
    shutil.rmtree(folder, ignore_errors=True)
    report = replace(report, reproduction=result)
    return finish(context, report, "Reproduced" if result.identical else "Differs", str(result))


def scratch(context: ModelContext, manifest: Manifest) -> Path:
    """The folder in which a version is trained again; other sources get another folder.

    A run that was cut short leaves finished parts there, which only the same sources may reuse.
    """
    digest = _code(context, manifest).digest[:12]
    return context.scratch_folder(f"reproduce-{manifest.version}-{digest}")


@step
def recorded(context: ModelContext, version: str | None) -> Manifest:
    """The verified manifest of a version, or of the champion."""
    version = version or context.registry.champion_version()
    if version is None:
        raise NothingPublished(context.model, Registry(context.bucket).models())
    return context.registry.trusted(version).manifest


@step
def check_rows(context: ModelContext, manifest: Manifest) -> None:
    """Compare the dataset's rows with the recorded digests, before anything is trained."""
    rows = retake(context.rows, context.holdout, manifest.data)
    reproduction.check_rows(manifest, rows)


@step
def check_environment(context: ModelContext, manifest: Manifest) -> tuple[str, ...]:
    """Log what differs from the recorded environment, before hours go into a fit.

    It stops nothing: the weights may come out the same in spite of it.
    """
    now = Present(
        data=manifest.data,
        code=_code(context, manifest),
        environment=lineage.environment(),
        settings=manifest.training.settings,
    )
    mismatches = (
        *reproduction.mismatches(manifest, now),
        *reproduction.lost_categories(context.definition, manifest),
    )
    for mismatch in mismatches:
        get_run_logger().warning("not as it was: %s", mismatch)
    return mismatches


@step
def train_again(context: ModelContext, manifest: Manifest, folder: Path) -> Candidate:
    """Fit on the recorded rows, encoded as then, with the recorded settings and sources."""
    rows = reproduction.recorded_snapshot(manifest)
    training = manifest.training
    progress = ProgressReporter(f"{manifest.model}-training")
    with _sources(context, manifest, folder) as tree:
        candidate = train_candidate(
            context.definition,
            type(context.definition.settings).model_validate(training.settings),
            fingerprint=manifest.fingerprint,
            training=reproduction.as_recorded(
                context.definition, manifest, context.training_examples(rows)
            ),
            holdout=reproduction.as_recorded(
                context.definition, manifest, context.holdout_examples(rows)
            ),
            folder=folder,
            seconds=context.fit_seconds,
            report=progress,
            start=start_weights(context, training.continued_from)
            if training.continued_from
            else None,
            checkout=tree,
        )
    progress.done()
    return candidate


@step
def compare(
    context: ModelContext, manifest: Manifest, candidate: Candidate, mismatches: tuple[str, ...]
) -> Reproduction:
    """Compare weights, predictors, measurements and answers of both."""
    names = (NETWORK, PREDICTOR)
    return reproduction.compare(
        context.definition,
        manifest,
        {name: context.registry.read_file(manifest, name) for name in names},
        {name: candidate.read(name) for name in names},
        holdout=context.holdout_examples(reproduction.recorded_snapshot(manifest)),
        mismatches=mismatches,
    )


def _code(context: ModelContext, manifest: Manifest) -> CodeLineage:
    """The sources that will fit: the recorded ones, or those here where they cannot be had."""
    now = lineage.code(context.definition)
    unavailable = now.digest != manifest.code.digest and source_checkout.unavailable_reason(
        manifest.code, now, lineage.sources_folder(context.definition)
    )
    return now if unavailable else manifest.code


@contextmanager
def _sources(context: ModelContext, manifest: Manifest, folder: Path) -> Iterator[Path | None]:
    """A checkout of the recorded sources; None to fit with those here, when equal or not to be had.

    The checkout is removed again at the end.
    """
    now, root = lineage.code(context.definition), lineage.sources_folder(context.definition)
    if now.digest == manifest.code.digest:
        yield None
        return
    if why := source_checkout.unavailable_reason(manifest.code, now, root):
        get_run_logger().warning("the sources here are not those of then, and %s", why)
        yield None
        return
    checkout = folder.with_name(f"{folder.name}-sources")
    with source_checkout.checkout(manifest.code, checkout, root) as tree:
        get_run_logger().info("fitting with the sources of %s", manifest.code.commit[:12])
        yield tree
