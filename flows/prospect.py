"""What a night would do if it began now: found out in the shell, without Prefect and TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.parameters import Begin
from flows.run.context import ModelContext
from store import landing
from store.manifest import Manifest
from tasks import lineage
from tasks.explain import Axis, Present, explain
from tasks.recall import Known, Memory, recall


@dataclass(frozen=True)
class Prospect:
    """What would come in, what changed since the champion was made, and what is known of it."""

    champion: Manifest | None
    arrivals: tuple[str, ...]
    axes: tuple[Axis, ...]
    memory: Memory

    @property
    def would_train(self) -> bool:
        """Whether a run would get as far as training, or has something left to finish."""
        idle = self.memory.known in {Known.SETTLED, Known.REFUSED}
        return bool(self.arrivals) or not idle


def prospect(
    model: str,
    changed: Mapping[str, float | int | None],
    *,
    take_in: bool,
    begin: Begin = "as declared",
) -> Prospect:
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
    return Prospect(
        champion=champion,
        arrivals=_coming(context, taken) if take_in else (),
        axes=explain(champion, now) if champion else (),
        memory=recall(registry, fingerprint, champion=serving, replicas=context.settings.replicas),
    )


def _coming(context: ModelContext, taken: set[str]) -> tuple[str, ...]:
    """What waits in the landing, or else what the source would bring."""
    waiting = tuple(
        arrival.name
        for arrival in landing.pending(context.bucket, context.model)
        if arrival.name not in taken
    )
    if waiting:
        return waiting
    delivery = context.source.deliver(taken)
    return (delivery.name,) if delivery else ()
