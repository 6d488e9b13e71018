"""What a run would do if it started now, computed without Prefect and TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.flows.run.context import ModelContext
from overnight.flows.run.inputs import changes, gather_inputs
from overnight.flows.run.parameters import StartFrom
from overnight.store.datasets.landing import Landing
from overnight.store.registry.manifest import Manifest
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.release.resume import PriorProgress, PriorRun, find_prior_run


@dataclass(frozen=True)
class DryRun:
    """The arrivals to ingest, the changes since the champion was made, and the prior run.

    The prior run is the one of the same fingerprint, from before those arrivals.
    """

    champion: Manifest | None
    arrivals: tuple[str, ...]
    axes: tuple[Axis, ...]
    prior: PriorRun

    @property
    def would_train(self) -> bool:
        """Whether a run would get as far as training, or has something left to finish."""
        finished = self.prior.progress in {PriorProgress.SETTLED, PriorProgress.REFUSED}
        return bool(self.arrivals) or not finished


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
    return DryRun(
        champion=inputs.champion,
        arrivals=next_arrivals(context) if ingest_first else (),
        axes=changes(context, inputs),
        prior=find_prior_run(
            context.registry,
            inputs.fingerprint,
            champion=champion,
            replicas=context.settings.replicas,
        ),
    )


def next_arrivals(context: ModelContext) -> tuple[str, ...]:
    """The arrivals that wait in the landing, or else the next one of the source."""
    ingested = context.rows.arrival_names()
    waiting = tuple(
        arrival.name
        for arrival in Landing(context.bucket, context.model).pending()
        if arrival.name not in ingested
    )
    if waiting:
        return waiting
    delivery = context.source.deliver({*ingested, *context.reviews.excluded()})
    return (delivery.name,) if delivery else ()
