"""Score the rows of a file or a table with one version of a model."""

from prefect import flow
from prefect.client.schemas.objects import State

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.parameters import ModelName, Version
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.infra import connections
from overnight.infra.cores import cores
from overnight.models.definition import Progress
from overnight.store.predictions.tables import PredictionTable
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.scoring.batch_score import BatchScored, ScoreRequest, batch_score
from overnight.tasks.scoring.places import RowsPlace, parts_folder


@flow(name="score", flow_run_name=run_name, persist_result=False)
def score(
    model: ModelName = "digits",
    input: str = "",  # noqa: A002 - the field of the form
    output: str = "",
    version: Version | None = None,
    keep: list[str] | None = None,
    overwrite: bool = False,
    requested_by: str = "operator",
) -> State:
    """Score all rows of a file or a Delta table, and write answers beside the kept columns.

    Rows that do not fit the model are in a file of their own, each with its reason. A run that was
    interrupted continues where it stopped when it is started again with the same parameters.

    Args:
        model: The model that answers.
        input: A .csv or .parquet file or a Delta table, by its path on the worker's machine or as
            s3://bucket/key.
        output: A .csv or .parquet file, or a Delta table to append to.
        version: The version that answers; empty for the champion.
        keep: Columns of the input that the output has as well; empty for all.
        overwrite: Replace an output that another run made.
        requested_by: The name of the person who requests it.
    """
    context, report = ModelContext.open(model), RunReport(model=model)
    settings = context.settings
    store = context.rows_store
    target = RowsPlace.parse(output, store, written=True)
    request = ScoreRequest(
        model=model,
        input=RowsPlace.parse(input, store),
        output=target,
        parts=parts_folder(target, settings.home / "work" / model / "scoring"),
        version=version,
        keep=keep or None,
        client=requested_by,
        overwrite=overwrite,
        threads=cores(),
    )
    scored = score_rows(context, request)
    state = scored.state
    if not scored.is_new or not state.read:
        why = f"{input} has no rows" if not state.read else f"{output} is complete already"
        return finish(context, report, "NothingNew", why)
    rejected = f", {state.rejected:,} are in {scored.rejected_file}" if state.rejected else ""
    message = f"{state.scored:,} rows of {input} by {state.version} are in {output}{rejected}"
    return finish(context, report, "Scored", message)


@step
def score_rows(context: ModelContext, request: ScoreRequest) -> BatchScored:
    """Score the rows, and show how far it is."""
    progress = ProgressReporter(f"{context.model}-training", description="Scoring")
    log = PredictionTable.on_s3(connections.address(context.settings), context.model)

    def report(done: int, total: int) -> None:
        progress(Progress(epoch=1, epochs=1, step=done, steps=max(total, 1)))

    scored = batch_score(context.registry, log, request, report=report)
    progress.done()
    return scored
