"""Tells each run that had something to learn from to MLflow, where the settings name a server."""

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

# Nights on which nothing came in end within seconds, and leave nothing to compare.
_UNTOLD = ("NothingNew", "UpToDate")


def tracked(
    context: ModelContext,
    story: RunReport,
    outcome: str,
    message: str,
    told: str,
    links: Mapping[str, str],
) -> Mapping[str, str]:
    """Tell a run whose card is `told`, and answer the links with the one to where it is there.

    Whatever goes wrong is a warning in the log: a run is never lost over its being told.
    """
    retraining = flow_run.flow_name == "retrain" and outcome not in _UNTOLD
    if not (retraining and context.settings.mlflow_tracking_uri.get_secret_value()):
        return links
    if story.manifest is not None:
        bundle = keys.manifest(story.model, story.manifest.version).rpartition("/")[0]
        links = {**links, "Bundle": f"s3://{context.settings.s3_bucket}/{bundle}"}
    ending = RunEnd(
        run_id=str(flow_run.id),
        run_name=str(flow_run.name),
        began_at=flow_run.scheduled_start_time or datetime.now(UTC),
        outcome=outcome,
        message=message,
        links=links,
    )
    # A server that is away raises nothing; this is for what nobody thought of.
    try:
        report = page(told, title=f"{story.model}: {outcome}")
        url = tell_mlflow(context, describe_run(story, ending, report))
    except Exception as error:  # noqa: BLE001
        get_run_logger().warning("not told to MLflow: %s", type(error).__name__, exc_info=True)
        return links
    return {**links, "MLflow": url} if url else links


@step
def tell_mlflow(context: ModelContext, run: Run) -> str:
    """The address of the run at the server, or nothing when it did not get there."""
    settings = context.settings
    uri = settings.mlflow_tracking_uri.get_secret_value()
    found = track(run, uri=uri, seconds=settings.mlflow_seconds)
    if found.error:
        what = "not all was told" if found.url else "not told"
        get_run_logger().warning("%s to MLflow: %s", what, found.error)
    return found.url
