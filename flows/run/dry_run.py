"""What a night would do if it began now: found out in the shell, without Prefect and TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.flows.run.context import ModelContext
from overnight.flows.run.parameters import Begin
from overnight.store.datasets.landing import Landing
from overnight.store.registry.manifest import Manifest
from overnight.tasks.evaluation.explain import Axis, Present, explain
from overnight.tasks.release.resume import PriorRun, Progress, find_prior_run
from overnight.tasks.training import lineage


@dataclass(frozen=True)
class DryRun:
    """What would come in, what changed since the champion was made, and what is known of it."""

    champion: Manifest | None
    arrivals: tuple[str, ...]
    axes: tuple[Axis, ...]
    memory: PriorRun

    @property
    def would_train(self) -> bool:
        """Whether a run would get as far as training, or has something left to finish."""
        idle = self.memory.progress in {Progress.SETTLED, Progress.REFUSED}
        return bool(self.arrivals) or not idle


def dry_run(
    model: str,
    changed: Mapping[str, float | int | None],
    *,
    take_in: bool,
    begin: Begin = "as declared",
) -> DryRun:
    """Look at the dataset, the code, the settings and the store as they are now.

    Raises:
        NotFound: nothing was ever taken in.
    """
    context = ModelContext.open(model)
    registry = context.registry
    serving = registry.champion_version()
    champion = registry.manifest(serving) if serving else None
    found = context.snapshot().lineage
    warm = context.is_warm(begin, champion, found)
    settings = context.training_settings(changed, warm=warm)
    code, environment = lineage.code(context.definition), lineage.environment()
    taken = context.rows.taken()
    since = taken - context.rows.taken(champion.data.dataset_version) if champion else taken
    told = settings.model_dump(mode="json")
    now = Present(found, code, environment, told, arrivals=since)
    fingerprint = lineage.fingerprint(
        context.definition, settings, found, code, environment, warm=warm
    )
    return DryRun(
        champion=champion,
        arrivals=_coming(context, taken) if take_in else (),
        axes=explain(champion, now) if champion else (),
        memory=find_prior_run(
            registry, fingerprint, champion=serving, replicas=context.settings.replicas
        ),
    )


def _coming(context: ModelContext, taken: set[str]) -> tuple[str, ...]:
    """What waits in the landing, or else what the source would bring."""
    waiting = tuple(
        arrival.name
        for arrival in Landing(context.bucket, context.model).pending()
        if arrival.name not in taken
    )
    if waiting:
        return waiting
    delivery = context.source.deliver(taken)
    return (delivery.name,) if delivery else ()
