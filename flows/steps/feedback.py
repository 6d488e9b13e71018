"""The steps that turn labels of answers into rows, and arrivals into labels of answers."""

from datetime import UTC, datetime
from functools import cache

import pyarrow as pa
from prefect.logging import get_run_logger

from overnight.flows.run.context import ModelContext
from overnight.flows.steps.step import step
from overnight.infra import connections
from overnight.models.watching import Feedback
from overnight.store.datasets.landing import Landing
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.registry.monitoring import MonitorLog
from overnight.store.schema import Schema
from overnight.tasks.data.snapshot import Snapshot, read_holdout
from overnight.tasks.evaluation.score import unlearned_arrivals
from overnight.tasks.monitoring.arrival_labels import label_from_arrivals
from overnight.tasks.monitoring.land_labels import LabelLanding
from overnight.tasks.monitoring.learnable import SchemaOf


def land_feedback(context: ModelContext) -> None:
    """Land the labelled rows that the monitor has seen, where the model learns from them."""
    feedback = _feedback(context)
    if feedback is not None and feedback.rows is not None:
        land_labels(context)


@step
def land_labels(context: ModelContext) -> None:
    """Land the rows of labels of each monitor record, and park those that a person must see."""
    predictions, labels = _tables(context)
    landing = LabelLanding(
        landing=Landing(context.bucket, context.model),
        reviews=context.reviews,
        records=MonitorLog(context.bucket, context.model),
        predictions=predictions,
        labels=labels,
        definition=context.definition,
        schema_of=_schemas(context),
        holdout=lambda: _frozen_holdout(context),
    )
    champion = context.registry.champion_version()
    landed = landing.land(context.rows.arrival_names(), champion=champion)
    for name in landed.arrivals:
        get_run_logger().info("labelled rows were landed as %s", name)
    for notice in landed.notices:
        get_run_logger().warning("%s", notice)


def label_answers(context: ModelContext, snapshot: Snapshot) -> None:
    """Label logged answers by what arrived, where that is how their truth comes."""
    feedback = _feedback(context)
    if feedback is not None and feedback.from_arrivals is not None:
        label_by_arrivals(context, snapshot)


@step
def label_by_arrivals(context: ModelContext, snapshot: Snapshot) -> None:
    """Label the answers whose truth came with the arrivals since the champion was trained."""
    champion = context.registry.champion_version()
    if champion is None:
        return
    learned = context.registry.manifest(champion).data.dataset_version
    arrivals = unlearned_arrivals(context.rows.arrival_versions(), learned)
    if not arrivals:
        return
    predictions, labels = _tables(context)
    counts = label_from_arrivals(
        context.stamped_rows(snapshot),
        arrivals,
        context.definition,
        predictions,
        labels,
        _schemas(context),
        at=datetime.now(UTC),
    )
    for arrival, count in counts.items():
        get_run_logger().info("%s brought the truth of %s answers", arrival, count)


def _feedback(context: ModelContext) -> Feedback | None:
    watching = context.definition.watching
    return watching.feedback if watching.log is not None else None


def _tables(context: ModelContext) -> tuple[PredictionTable, LabelTable]:
    address = connections.address(context.settings)
    return (
        PredictionTable.on_s3(address, context.model),
        LabelTable.on_s3(address, context.model),
    )


def _schemas(context: ModelContext) -> SchemaOf:
    """The schema of each version, read once."""

    @cache
    def schema_of(version: str) -> Schema:
        return context.registry.manifest(version).tensors

    return schema_of


def _frozen_holdout(context: ModelContext) -> pa.Table:
    """The rows that never teach; none where the holdout moves with the snapshot."""
    if context.definition.moving_holdout is not None:
        return pa.table({})
    return read_holdout(context.holdout, declared=context.declared)
