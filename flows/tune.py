"""Search for better settings, rarely; what is found serves every night from then on."""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from prefect import flow
from prefect.client.schemas.objects import State
from prefect.logging import get_run_logger
from pydantic import Field

import overnight.tasks.data.snapshot
import overnight.tasks.training.tune
from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import ModelName
from overnight.flows.run.progress import ProgressReporter
from overnight.flows.steps.finish import finish
from overnight.flows.steps.step import step
from overnight.infra.cores import cores
from overnight.models.definition import Progress
from overnight.models.plots import plots as drawn
from overnight.store.registry.tuned_settings import TunedSettings
from overnight.tasks.data import learned_arrivals
from overnight.tasks.reporting.report import RunReport
from overnight.tasks.training.trials import Search

Trials = Annotated[int, Field(ge=2, le=500)]
Parallel = Annotated[int, Field(ge=1, le=64)]


@flow(name="tune", persist_result=False)
def tune(
    model: ModelName = "digits",
    trials: Trials = 20,
    parallel: Parallel | None = None,
    forget: bool = False,
    by: str = "operator",
    reason: str = "",
) -> State:
    """Try other settings within the model's declared ranges, and keep the best for its nights.

    Trials are judged by their validation loss on the newest rows; the holdout is not looked at.
    Ends as Tuned, or as Kept when nothing was better than what holds.

    Args:
        model: The model to tune.
        trials: How many fits; the first has the settings that hold now.
        parallel: How many at once; empty for half as many as there are cores.
        forget: Try nothing, and go back to the model's own settings.
        by: Who asks for it.
        reason: Why, for the record.
    """
    context, story = ModelContext.open(model), RunReport(model=model)
    keep = step(context.registry.keep_tuned)
    if forget:
        keep(TunedSettings(model=model, sequence=0, settings={}, by=by, reason=reason))
        return finish(context, story, "Tuned", "nights use the model's own settings again")
    found = search(context, trials, parallel or max(cores() // 2, 1))
    story = RunReport(model=model, search=found, pictures=draw(context, found))
    before, best = found.trials[0], found.best
    if not found.improved:
        return finish(
            context, story, "Kept", f"nothing in {len(found.trials)} trials was better: {best}"
        )
    told = TunedSettings(
        model=model,
        sequence=0,
        settings=dict(best.settings),
        by=by,
        reason=reason,
        objective=best.loss,
        before=before.loss,
        trials=len(found.trials),
    )
    keep(told)
    return finish(context, story, "Tuned", f"from the next run on: {best}")


@step
def search(context: ModelContext, trials: int, parallel: int) -> Search:
    """All trials, on the newest rows."""
    waiting = {
        held.arrival
        for held in learned_arrivals.open_reviews(context.registry, context.rows.arrivals)
    }
    without = sorted({*context.reviews.excluded(), *waiting})
    snapshot = context.snapshot(without=without)
    tell = ProgressReporter(f"{context.model}-training")
    folder = context.work("tune")
    shutil.rmtree(folder, ignore_errors=True)

    def report(over: int, found: Search) -> None:
        get_run_logger().info("%d of %d trials: %s", over, trials, found)
        tell(Progress(epoch=1, epochs=1, step=over, steps=trials))

    found = overnight.tasks.training.tune.tune(
        context.definition,
        context.training_settings({}),
        context.training_examples(snapshot),
        trials=trials,
        parallel=parallel,
        folder=folder,
        seconds=context.settings.fit_seconds,
        report=report,
    )
    tell.done()
    return found


@step
def draw(context: ModelContext, found: Search) -> Mapping[str, Path]:
    """The loss of every trial over its settings."""
    trials = [(one.settings, one.loss) for one in found.complete if one.loss is not None]
    path = context.work("tune") / "trials.png"
    path.write_bytes(drawn.search(trials, found.complete.index(found.best)))
    return {"Trials": path}
