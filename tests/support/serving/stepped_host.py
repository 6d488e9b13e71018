"""A host that is moved by hand, tick by tick, and a store that can be cut off."""

import numpy as np

from overnight.serving.agent import HostAgent
from overnight.store.errors import StoreUnavailable
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.challenge_terms import Terms
from tests.support.serving import bundles
from tests.support.signing_keys import alias_log

BLANK = {"image": np.zeros((1, 28, 28), np.uint8)}
FOURS = {"image": bundles.IMAGES[:1]}


class Flaky(MemoryBucket):
    """A bucket that can be cut off, or be closed to writers."""

    error: Exception | None = None
    write_error: Exception | None = None

    def read(self, key: str, limit: int) -> bytes:
        if self.error:
            raise self.error
        return super().read(key, limit)

    def names_below(self, prefix: str) -> list[str]:
        if self.error:
            raise self.error
        return super().names_below(prefix)

    def create(self, key: str, body: bytes) -> None:
        if error := self.error or self.write_error:
            raise error
        super().create(key, body)


class Unprobed:
    """A probe that lets every version pass at once, for hosts whose workers find faults."""

    def start(self, _model: str, _version: str) -> "Unprobed":
        return self

    def outcome(self) -> str | None:
        return ""

    def cancel(self) -> None:
        """It is over already."""


OUTAGE = StoreUnavailable("http://store", "cut off")


def champion(bucket: MemoryBucket) -> str:
    """The version that the alias log of the digits names."""
    current = alias_log(bucket, bundles.MODEL).current()
    assert current is not None
    return current.version


def promote(log: AliasLog, number: int) -> AliasRecord:
    current = log.current()
    return log.append(
        bundles.version_name(number),
        expected=current.version if current else None,
        actor=Actor("a test", "to see what happens"),
    )


def settle(*agents: HostAgent, ticks: int = 30) -> None:
    for _ in range(ticks):
        for agent in agents:
            agent.tick_leader()
            agent.tick_challenges()
            agent._list_models()
            agent.tick_loader()
            agent.tick_counters()


def prepare(agent: HostAgent, *, ticks: int = 20) -> None:
    """Let the leader follow both aliases and load what they name, while other workers are slow."""
    for _ in range(ticks):
        agent.tick_leader()
        agent.tick_challenges()
        agent.tick_loader()


def answers(agent: HostAgent) -> str:
    """The version that answers, provided its answer is that version's own."""
    with agent.slots.find(bundles.MODEL).lease() as loaded:
        number = int(loaded.version[-12:], 16)
        found = loaded.predictor.predict(BLANK, ["probabilities"])["probabilities"]
        assert np.allclose(found, bundles.probabilities(number, BLANK["image"]), atol=1e-6)
        return loaded.version


def challenge(log: AliasLog, number: int, terms: Terms, *, beside: int = 1) -> AliasRecord:
    """Start a challenge as the rules of the store would; these have tests of their own."""
    current = log.current()
    return log.append(
        bundles.version_name(number),
        expected=current.target if current else None,
        actor=Actor("a test", "to see how it does"),
        action="started",
        terms=terms,
        champion_sequence=beside,
    )


def answering_version(agent: HostAgent, client: str = "somebody", **which: str) -> str:
    """Send a request to a worker; returns the version that answered."""
    _, loaded, _ = agent.router.predict(
        bundles.MODEL,
        lambda loaded: loaded.predict(FOURS, ["probabilities"]),
        client=client,
        **which,
    )
    return loaded.version


def compare(*agents: HostAgent) -> None:
    """Compare everything that waits."""
    for agent in agents:
        while agent.comparisons.waiting:
            agent.comparisons.tick()


def challengers_in(agent: HostAgent) -> list[str]:
    """The versions of challengers that a worker has loaded."""
    slot = agent.challengers[bundles.MODEL].slot
    return [one.version for one in slot.loaded()]
