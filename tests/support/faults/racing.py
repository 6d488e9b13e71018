"""Runs operations of several clients at the same instant, many times."""

import threading
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.decision import Decision, Verdict
from overnight.store.registry.manifest import RunLineage
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, manifest
from tests.support.faults.tally import TALLY
from tests.support.signing_keys import SIGNER, registry

A, B, C = (f"20261122T02000{n}-{n:012x}" for n in range(3))


@dataclass(frozen=True)
class RaceStore:
    """A store in which every round has its own model."""

    ways: tuple[Bucket, ...]
    rounds: int

    @property
    def bucket(self) -> Bucket:
        return self.ways[0]

    def models(self) -> Iterator[str]:
        """A model for each round; A is its champion, and all of its versions are approved."""
        for _ in range(self.rounds):
            model = f"race-{uuid.uuid4().hex[:12]}"
            for version in (A, B, C):
                publish(self.bucket, model, version)
                decide(self.bucket, model, version, "approved", by="gates")
            Promotions(registry(self.bucket, model)).promote(
                A, expected=None, actor=Actor("ann", "the first")
            )
            yield model

    def race(self, *acts: Callable[[Bucket], object]) -> list[object]:
        """Run all operations at once, each over its own client; returns results and errors."""
        start = threading.Barrier(len(acts))
        found: list[object] = [None] * len(acts)

        def run(number: int) -> None:
            start.wait(20)
            try:
                found[number] = acts[number](self.ways[number % len(self.ways)])
            except OvernightError as error:
                found[number] = error

        threads = [threading.Thread(target=run, args=(number,)) for number in range(len(acts))]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        TALLY.inject("two acted at the same instant")
        return found


def publish(bucket: Bucket, model: str, version: str, run: str = "run") -> None:
    made = manifest(version=version, model=model)
    made = made.model_copy(update={"run": RunLineage(id=run, name=run)})
    ModelRegistry(bucket, made.model).publish(made, FILES, SIGNER)


def decide(bucket: Bucket, model: str, version: str, verdict: Verdict, by: str) -> Decision:
    return registry(bucket, model).decisions.decide(version, verdict, Actor(by))
