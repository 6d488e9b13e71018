"""What a run would do if it started now, computed without Prefect and TensorFlow."""

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from overnight.flows.run.context import ModelContext
from overnight.flows.run.inputs import changes, gather_inputs
from overnight.flows.run.parameters import StartFrom
from overnight.store.datasets.feedback_arrivals import parse_feedback_name
from overnight.store.datasets.landing import Landing
from overnight.store.registry.manifest import Manifest
from overnight.tasks.data.learned_arrivals import open_reviews
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.release.resume import PriorProgress, PriorRun, find_prior_run


@dataclass(frozen=True)
class DryRun:
    """The arrivals to ingest, the changes since the champion was made, and the prior run.

    The prior run is the one of the same fingerprint, from before those arrivals. Those `parked`
    wait for a person: labelled rows in the landing, which a run passes over, or arrivals of the
    dataset, because of which a run `ends_waiting`.
    """

    champion: Manifest | None
    arrivals: tuple[str, ...]
    axes: tuple[Axis, ...]
    prior: PriorRun
    parked: tuple[str, ...] = ()
    ends_waiting: bool = False

    @property
    def would_train(self) -> bool:
        """Whether a run would get as far as training, or has something left to finish."""
        finished = self.prior.progress in {PriorProgress.SETTLED, PriorProgress.REFUSED}
        return bool(self.arrivals) or not (finished or self.ends_waiting)


def dry_run(
    model: str,
    changed: Mapping[str, float | int | None],
    *,
    ingest_first: bool,
    start_from: StartFrom = "as declared",
) -> DryRun:
    """Compare the dataset, the code, the settings and the store with what the champion records.

    Raises:
        NotFound: nothing was ever ingested.
    """
    context = ModelContext.open(model)
    champion = context.registry.champion_version()
    snapshot = context.snapshot()
    # Whether it would start from the champion's weights depends on what is learned.
    context = context.learning(snapshot)
    inputs = gather_inputs(context, champion, snapshot.lineage, changed, start_from)
    reviews = open_reviews(context.registry, context.rows.arrival_versions)
    parked = tuple(review.arrival for review in reviews)
    return DryRun(
        champion=inputs.champion,
        arrivals=next_arrivals(context, parked) if ingest_first else (),
        axes=changes(context, inputs),
        prior=find_prior_run(
            context.registry,
            inputs.fingerprint,
            champion=champion,
            replicas=context.settings.replicas,
        ),
        parked=parked,
        ends_waiting=not context.rows.arrival_names().isdisjoint(parked),
    )


def next_arrivals(context: ModelContext, parked: Collection[str] | None = None) -> tuple[str, ...]:
    """The arrivals that a run would ingest: of the landing, or else the next one of the source.

    Without those that are `parked` for a person, by default as the store says. Labelled rows in
    the landing leave the source its turn, as in `tasks.data.ingest`.
    """
    if parked is None:
        parked = {review.arrival for review in context.reviews.pending()}
    ingested = context.rows.arrival_names()
    waiting = tuple(
        arrival.name
        for arrival in Landing(context.bucket, context.model).pending()
        if arrival.name not in ingested and arrival.name not in parked
    )
    if any(parse_feedback_name(name) is None for name in waiting):
        return waiting
    delivery = context.source.deliver({*ingested, *context.reviews.excluded()})
    return (*waiting, delivery.name) if delivery else waiting
