"""Whether an arrival is one that a person can decide about."""

from overnight.flows.errors import UnknownArrival
from overnight.flows.run.context import ModelContext
from overnight.store.datasets.landing import Landing
from overnight.tasks.data.learned_arrivals import open_reviews


def check_arrival(context: ModelContext, arrival: str, *, excluded: bool) -> None:
    """Check that the dataset has an arrival, or the landing one that may be decided about.

    One that waits in the landing may be excluded: the next ingest quarantines it unread. One that
    is parked there may be accepted as well.

    Raises:
        UnknownArrival
    """
    if arrival in context.rows.arrival_names():
        return
    landed = tuple(each.name for each in Landing(context.bucket, context.model).pending())
    pending = open_reviews(context.registry, context.rows.arrival_versions)
    is_pending = any(review.arrival == arrival for review in pending)
    parked = is_pending or context.reviews.decision(arrival) is not None
    if arrival not in landed or not (parked or excluded):
        waiting = tuple(review.arrival for review in pending)
        raise UnknownArrival(context.model, arrival, waiting, landed)
