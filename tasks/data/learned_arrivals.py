"""What was learned already: by the versions that served and that nobody went back from.

When an earlier version returns, what its successors learned after it was judged before and is not
judged again. After a rollback it is: whoever rolled back may have done so because of the data.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from overnight.store.datasets.arrival_reviews import ArrivalReviews, PendingReview
from overnight.store.registry.aliases import AliasRecord
from overnight.store.registry.manifest import DataLineage
from overnight.store.registry.registry import ModelRegistry

# Arrivals by name, with the version of the dataset in which each came in.
ArrivalVersions = Mapping[str, int]


def kept_champions(history: Sequence[AliasRecord]) -> tuple[str, ...]:
    """The versions that served and were not left by a rollback when they did so last."""
    following: Sequence[AliasRecord | None] = [*history, None][1:]
    left = {
        record.version: after is not None and after.action == "rolled back"
        for record, after in zip(history, following, strict=True)
    }
    return tuple(version for version, undone in left.items() if not undone)


def known(came: ArrivalVersions, learned: Iterable[DataLineage]) -> frozenset[str]:
    """The arrivals that were in any of these snapshots."""
    return frozenset(
        name
        for data in learned
        for name, version in came.items()
        if version <= data.dataset_version and name not in data.without
    )


def known_arrivals(registry: ModelRegistry, came: Callable[[], ArrivalVersions]) -> frozenset[str]:
    """The arrivals that the champions of a model learned, without those that were undone.

    `came` is asked only when there is a champion: see `Dataset.arrival_versions`.
    """
    versions = kept_champions(registry.champion.history())
    if not versions:
        return frozenset()
    lineages = (registry.manifest(version).data for version in versions)
    return known(came(), lineages)


def open_reviews(
    registry: ModelRegistry, came: Callable[[], ArrivalVersions]
) -> list[PendingReview]:
    """The arrivals that wait for a person; one that was learned after all waits no more."""
    pending = ArrivalReviews(registry.bucket, registry.model).pending()
    learned = known_arrivals(registry, came) if pending else frozenset()
    return [review for review in pending if review.arrival not in learned]
