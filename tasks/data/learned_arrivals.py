"""The arrivals that champions have learned, without champions that were rolled back.

When an earlier version is reinstated, arrivals that its successors learned are not judged again.
After a rollback they are, because the data may have been the reason.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence

from overnight.store.datasets.arrival_reviews import ArrivalReviews, PendingReview
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.manifest import DataLineage
from overnight.store.registry.registry import ModelRegistry

# Arrivals by name, with the version of the dataset that first contains each.
ArrivalVersions = Mapping[str, int]


def kept_champions(history: Sequence[AliasRecord]) -> tuple[str, ...]:
    """The versions whose last time as champion did not end by a rollback."""
    next_records: Sequence[AliasRecord | None] = [*history, None][1:]
    # The last record of a version overwrites its earlier ones.
    rolled_back = {
        record.version: next_record is not None and next_record.action == "rolled back"
        for record, next_record in zip(history, next_records, strict=True)
    }
    return tuple(version for version, was_rolled_back in rolled_back.items() if not was_rolled_back)


def known(arrival_versions: ArrivalVersions, learned: Iterable[DataLineage]) -> frozenset[str]:
    """The arrivals in any of these snapshots."""
    return frozenset(
        name
        for data in learned
        for name, version in arrival_versions.items()
        if version <= data.dataset_version and name not in data.without
    )


def known_arrivals(
    registry: ModelRegistry, arrival_versions: Callable[[], ArrivalVersions]
) -> frozenset[str]:
    """The arrivals that the champions of a model learned, without those rolled back.

    `arrival_versions` reads the table's log, so it is called only if there is a champion.
    """
    versions = kept_champions(registry.champion.history())
    if not versions:
        return frozenset()
    # What a champion learned whose manifest is damaged is judged once more.
    manifests = registry.readable_manifests(versions).values()
    return known(arrival_versions(), (manifest.data for manifest in manifests))


def open_reviews(
    registry: ModelRegistry, arrival_versions: Callable[[], ArrivalVersions]
) -> list[PendingReview]:
    """The arrivals that await a review, without those that a champion has learned anyway."""
    pending = ArrivalReviews(registry.bucket, registry.model).pending()
    learned = known_arrivals(registry, arrival_versions) if pending else frozenset()
    return [review for review in pending if review.arrival not in learned]
