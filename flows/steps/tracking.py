"""Logs retraining runs to MLflow, where the settings name a server."""

from collections.abc import Mapping
from datetime import UTC, datetime

from prefect.logging import get_run_logger
from prefect.runtime import flow_run

from overnight.flows.run.context import ModelContext
from overnight.flows.steps.step import step
from overnight.store.objects import keys
from overnight.tasks.reporting.markdown import page
from overnight.tasks.reporting.mlflow_run import RunEnd, describe_run, track
from overnight.tasks.reporting.mlflow_worker import Run
from overnight.tasks.reporting.report import RunReport

# These end within seconds and have no metrics to compare.
_NOT_TRACKED = ("NothingNew", "UpToDate")


def track_run(
    context: ModelContext,
    report: RunReport,
    outcome: str,
    message: str,
    card: str,
    links: Mapping[str, str],
) -> dict[str, str]:
    """Log a retraining run to MLflow; returns `links`, with one to the run there.

    Every failure is a warning in the log: tracking never fails a run.
    """
    retraining = flow_run.flow_name == "retrain" and outcome not in _NOT_TRACKED
    if not (retraining and context.settings.mlflow_tracking_uri.get_secret_value()):
        return dict(links)
    links = dict(links)
    if report.manifest is not None:
        bundle = keys.manifest(report.model, report.manifest.version).rpartition("/")[0]
        links["Bundle"] = f"s3://{context.settings.s3_bucket}/{bundle}"
    ending = RunEnd(
        run_id=str(flow_run.id),
        run_name=str(flow_run.name),
        began_at=flow_run.scheduled_start_time or datetime.now(UTC),
        outcome=outcome,
        message=message,
        links=links,
    )
    # An unavailable server raises nothing; this is for unforeseen errors.
    try:
        html = page(card, title=f"{report.model}: {outcome}")
        url = log_to_mlflow(context, describe_run(report, ending, html))
    except Exception as error:  # noqa: BLE001
        get_run_logger().warning("not logged to MLflow: %s", type(error).__name__, exc_info=True)
        return links
    return {**links, "MLflow": url} if url else links


@step
def log_to_mlflow(context: ModelContext, run: Run) -> str:
    """The address of the run at the MLflow server; empty when it did not get there."""
    settings = context.settings
    uri = settings.mlflow_tracking_uri.get_secret_value()
    tracked = track(run, uri=uri, seconds=settings.mlflow_seconds)
    if tracked.error:
        extent = "only partly" if tracked.url else "not"
        get_run_logger().warning("%s logged to MLflow: %s", extent, tracked.error)
    return tracked.url
