"""The step that scores the champion on new arrivals."""

from prefect.logging import get_run_logger

from overnight.flows.run.context import ModelContext
from overnight.flows.steps.step import step
from overnight.store.registry.live_scores import Score
from overnight.store.schema_translation import why_incomparable
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.evaluation import score as scores
from overnight.tasks.reporting.score_table import score_line


@step
def score(context: ModelContext, champion: str | None, snapshot: Snapshot) -> tuple[Score, ...]:
    """Score the champion on each arrival that no champion so far was trained on.

    Empty without a champion, and where it cannot answer rows of the model as it is now.
    """
    if champion is None:
        return ()
    served = {record.version for record in context.registry.champion.history()}
    # Versions are named by when they were made, so the highest name has seen the most arrivals.
    readable = context.registry.readable_manifests(served)
    newest = readable[max(readable)] if readable else context.registry.manifest(champion)
    arrivals = scores.unlearned_arrivals(
        context.rows.arrival_versions(), newest.data.dataset_version
    )
    if not arrivals:
        return ()
    serving = context.load_predictor(champion)
    if why := why_incomparable(context.definition.tensors, serving.manifest.tensors):
        get_run_logger().warning("%s is not scored on new arrivals: %s", champion, why)
        return ()
    scored = scores.score(
        context.registry,
        context.definition,
        serving.manifest,
        serving.predictor,
        rows=context.stamped_rows(snapshot),
        arrivals=arrivals,
    )
    for problem in scored.unreadable:
        get_run_logger().warning("not scored: %s", problem)
    for arrival_score in scored.scores:
        get_run_logger().info("%s on %s", champion, score_line(arrival_score))
    return scored.scores
