"""Search for better training settings; later runs use the best ones found."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from pydantic import Field

from overnight.flows.run.context import ModelContext
from overnight.flows.run.ending import run_name
from overnight.flows.run.parameters import ModelName
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.run.run_records import HOOKS
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.infra.cores import cores
from overnight.models.definition import Progress
from overnight.models.plots import plots
from overnight.store.registry.tuned_settings import TunedSettings, TunedSettingsLog
from overnight.tasks.data import learned_arrivals
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training.trials import Search
from overnight.tasks.training.tune import tune as search_settings

Trials = Annotated[int, Field(ge=2, le=500)]
Parallel = Annotated[int, Field(ge=1, le=64)]


@flow(name="tune", flow_run_name=run_name, persist_result=False, **HOOKS)
def tune(
    model: ModelName = "digits",
    trials: Trials = 20,
    parallel: Parallel | None = None,
    forget: bool = False,
    requested_by: str = "operator",
    reason: str = "",
) -> State:
    """Try other settings within the model's declared ranges, and keep the best for later runs.

    Trials are judged by their validation loss on the newest rows; the holdout is not used.
    Ends as Tuned, or as Kept when nothing was better than the current settings.

    Args:
        model: The model to tune.
        trials: How many fits; the first has the current settings.
        parallel: How many at once; empty for half as many as there are cores.
        forget: Try nothing, and go back to the model's own settings.
        requested_by: The name of the person who requests it.
        reason: Why, for the record.
    """
    context, report = ModelContext.open(model), RunReport(model=model)
    keep = step(TunedSettingsLog(context.bucket, context.model).append)
    if forget:
        keep(TunedSettings(model=model, sequence=0, settings={}, by=requested_by, reason=reason))
        return finish(context, report, "Tuned", "runs use the model's own settings again")
    result = search(context, trials, parallel or max(cores() // 2, 1))
    report = RunReport(model=model, search=result, pictures=draw(context, result))
    best = result.best
    if not result.improved:
        message = f"nothing in {len(result.trials)} trials was better: {best}"
        return finish(context, report, "Kept", message)
    keep(
        TunedSettings(
            model=model,
            # The log numbers it where it is appended.
            sequence=0,
            settings=dict(best.settings),
            by=requested_by,
            reason=reason,
            objective=best.loss,
            before=result.trials[0].loss,
            trials=len(result.trials),
        )
    )
    return finish(context, report, "Tuned", f"from the next run on: {best}")


@step
def search(context: ModelContext, trials: int, parallel: int) -> Search:
    """Run all trials, on the newest rows.

    Arrivals that wait for review are left out, as if a person had excluded them.
    """
    waiting = {
        review.arrival
        for review in learned_arrivals.open_reviews(context.registry, context.rows.arrival_versions)
    }
    snapshot = context.snapshot(without=sorted({*context.reviews.excluded(), *waiting}))
    context = context.learning(snapshot)
    progress = ProgressReporter(f"{context.model}-training")
    folder = context.scratch_folder("tune")
    # An earlier search had other rows or ranges.
    shutil.rmtree(folder, ignore_errors=True)

    def report(finished: int, result: Search) -> None:
        get_run_logger().info("%d of %d trials: %s", finished, trials, result)
        # The progress artifact counts steps, so a search is shown as one epoch of trials.
        progress(Progress(epoch=1, epochs=1, step=finished, steps=trials))

    result = search_settings(
        context.definition,
        context.training_settings({}),
        context.training_examples(snapshot),
        trials=trials,
        parallel=parallel,
        folder=folder,
        seconds=context.fit_seconds,
        report=report,
    )
    progress.done()
    return result


@step
def draw(context: ModelContext, result: Search) -> Mapping[str, Path]:
    """Plot the loss of every trial over its settings."""
    trials = [(trial.settings, trial.loss) for trial in result.complete if trial.loss is not None]
    path = context.scratch_folder("tune") / "trials.png"
    path.write_bytes(plots.search(trials, result.complete.index(result.best)))
    return {"Trials": path}
