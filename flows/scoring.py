"""The step in which the version that serves is held against what arrived."""

from prefect.logging import get_run_logger

import tasks.score
import tasks.snapshot
from flows.house import House
from flows.loading import loaded
from flows.steps import step
from store.aliases import AliasLog
from store.registry.registry import ModelRegistry
from store.scores import Score
from tasks.scored import told_in_words
from tasks.snapshot import Snapshot
from tasks.tensors import same_tensors


@step
def score(model: str, champion: str | None, snapshot: Snapshot) -> tuple[Score, ...]:
    """What the champion measures on each arrival that no version which ever served has learned.

    Nothing while there is no champion, or while it takes other tensors than the model does now.
    """
    house = House.of(model)
    if champion is None or not (arrivals := _unlearned(house)):
        return ()
    serving = loaded(house, champion)
    if not same_tensors(serving.manifest, house.definition):
        return ()
    found = tasks.score.score(
        ModelRegistry(house.bucket, model),
        house.definition,
        serving.manifest,
        serving.predictor,
        rows=tasks.snapshot.read_stamped(house.rows, snapshot),
        arrivals=arrivals,
    )
    for told in found.unreadable:
        get_run_logger().warning("not scored: %s", told)
    for one in found.scores:
        get_run_logger().info("%s on %s", champion, told_in_words(one))
    return found.scores


def _unlearned(house: House) -> tuple[str, ...]:
    """The arrivals since the newest version that ever served was made.

    Versions are named by when they were made, so that one knows of the most arrivals.
    """
    served = {record.version for record in AliasLog(house.bucket, house.model).history()}
    newest = ModelRegistry(house.bucket, house.model).manifest(max(served))
    return tasks.score.unlearned(house.rows.arrivals(), newest.data.dataset_version)
