"""What a night would do if it began now: found out in the shell, without Prefect and TensorFlow."""

from collections.abc import Mapping
from dataclasses import dataclass

from flows.house import House
from flows.parameters import Begin
from store import landing
from store.aliases import AliasLog
from store.manifest import Manifest
from store.registry.registry import ModelRegistry
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
    house = House.of(model)
    log = AliasLog(house.bucket, model)
    current = log.current()
    champion = ModelRegistry(house.bucket, model).manifest(current.version) if current else None
    found = house.snapshot().lineage
    warm = house.is_warm(begin, champion, found)
    settings = house.training_settings(changed, warm=warm)
    code, environment = lineage.code(house.definition), lineage.environment()
    taken = house.rows.taken()
    since = taken - house.rows.taken(champion.data.dataset_version) if champion else taken
    told = settings.model_dump(mode="json")
    now = Present(found, code, environment, told, arrivals=since)
    fingerprint = lineage.fingerprint(
        house.definition, settings, found, code, environment, warm=warm
    )
    return Prospect(
        champion=champion,
        arrivals=_coming(house, taken) if take_in else (),
        axes=explain(champion, now) if champion else (),
        memory=recall(
            house.bucket,
            model,
            fingerprint,
            champion=champion.version if champion else None,
            replicas=house.settings.replicas,
        ),
    )


def _coming(house: House, taken: set[str]) -> tuple[str, ...]:
    """What waits in the landing, or else what the source would bring."""
    waiting = tuple(
        arrival.name
        for arrival in landing.pending(house.bucket, house.model)
        if arrival.name not in taken
    )
    if waiting:
        return waiting
    delivery = house.source.deliver(taken)
    return (delivery.name,) if delivery else ()
