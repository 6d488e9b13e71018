"""The step in which the version that serves is held against what arrived."""

from prefect.logging import get_run_logger

import overnight.tasks.data.snapshot
import overnight.tasks.evaluation.score
from overnight.flows.run.context import ModelContext
from overnight.flows.steps.step import step
from overnight.store.registry.live_scores import Score
from overnight.tasks.data.signature import same_tensors
from overnight.tasks.data.snapshot import Snapshot
from overnight.tasks.reporting.score_table import score_line


@step
def score(context: ModelContext, champion: str | None, snapshot: Snapshot) -> tuple[Score, ...]:
    """What the champion measures on each arrival that no version which ever served has learned.

    Nothing while there is no champion, or while it takes other tensors than the model does now.
    """
    if champion is None or not (arrivals := _unlearned(context)):
        return ()
    serving = context.loaded(champion)
    if not same_tensors(serving.manifest, context.definition):
        return ()
    found = overnight.tasks.evaluation.score.score(
        context.registry,
        context.definition,
        serving.manifest,
        serving.predictor,
        rows=overnight.tasks.data.snapshot.read_stamped(context.rows, snapshot),
        arrivals=arrivals,
    )
    for told in found.unreadable:
        get_run_logger().warning("not scored: %s", told)
    for one in found.scores:
        get_run_logger().info("%s on %s", champion, score_line(one))
    return found.scores


def _unlearned(context: ModelContext) -> tuple[str, ...]:
    """The arrivals since the newest version that ever served was made.

    Versions are named by when they were made, so that one knows of the most arrivals.
    """
    served = {record.version for record in context.registry.champion.history()}
    newest = context.registry.manifest(max(served))
    return overnight.tasks.evaluation.score.unlearned_arrivals(
        context.rows.arrivals(), newest.data.dataset_version
    )
