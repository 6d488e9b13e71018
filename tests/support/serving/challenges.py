"""Champions and challengers of one process, without a store, and bundles that challenge badly."""

from datetime import UTC, datetime

import numpy as np
from flask.testing import FlaskClient

from overnight.serving.challenger.comparison import Comparisons
from overnight.serving.challenger.router import Challenger, Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.inference.runtime import Predictor
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.serving.telemetry.metrics import Metrics
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.registry.challenge_terms import Terms
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles

BLANK = np.zeros((1, 28, 28), np.uint8)
ONE = {"instances": BLANK.tolist()}
PREDICT = "/v1/models/digits:predict"
# A version so sure of a zero that it sees nothing else.
ALWAYS_ZERO = 400
SHADOW, CANARY = Terms(mode="shadow", share=1.0), Terms(mode="canary", share=1.0)
# The whole picture comes first, where clients look for probabilities.
OTHER_OUTPUTS = Schema(
    inputs=bundles.TENSORS.inputs,
    outputs=tuple(reversed(bundles.TENSORS.outputs)),
    labels=bundles.TENSORS.labels,
)
DARK_ONLY = Schema(
    inputs=(TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=0, maximum=9),),
    outputs=bundles.TENSORS.outputs,
    labels=bundles.TENSORS.labels,
)
NUMBERS = Schema(inputs=bundles.TENSORS.inputs, outputs=bundles.TENSORS.outputs)


def garbage() -> dict[str, bytes]:
    """A bundle that loads and has nothing to repeat, and whose every answer is NaN."""
    nan = np.float32(np.nan).tobytes()
    return {"predictor.tflite": bundles.NETWORK.read_bytes().replace(bundles.MARK, nan)}


def plain(number: int) -> dict[str, bytes]:
    """A bundle that answers as version `number`, without golden examples."""
    return {"predictor.tflite": bundles.network(number)}


CHALLENGERS_THAT_FAIL = {
    "answers garbage": {"bundle": garbage()},
    "answers other tensors": {"tensors": OTHER_OUTPUTS},
    "refuses what the champion takes": {"tensors": DARK_ONLY},
    "raises": {},
}


def started(number: int, terms: Terms, *, identity: str = "a-challenge") -> AliasRecord:
    return AliasRecord(
        model=bundles.MODEL,
        alias=CHALLENGER,
        sequence=1,
        version=bundles.version_name(number),
        previous=None,
        action="started",
        by="a test",
        reason="to see how it does",
        at=datetime.now(UTC),
        terms=terms,
        champion_sequence=1,
        id=identity,
    )


class ChallengeSetup:
    """A champion, version 1, and a challenger, version 2 unless told; moved by hand."""

    def __init__(
        self,
        terms: Terms,
        *,
        number: int = 2,
        bundle: dict[str, bytes] | None = None,
        tensors: Schema = bundles.TENSORS,
        champions: Schema = bundles.TENSORS,
        identity: str = "a-challenge",
    ) -> None:
        self.comparisons = Comparisons()
        self.champion = ModelSlot(bundles.MODEL, SharedGeneration.in_process())
        self.champion.put(LoadedVersion(1, opened(1, bundles.files(1), champions), None))
        self.champion.shared.activate(1)
        slot = ModelSlot(f"{bundles.MODEL}@{CHALLENGER}", SharedGeneration.in_process())
        predictor = opened(number, plain(number) if bundle is None else bundle, tensors)
        slot.put(LoadedVersion(1, predictor, started(number, terms, identity=identity)))
        slot.shared.activate(1)
        self.challenger = Challenger(slot, bundles.MODEL)
        self.router = self.beside(self.champion)
        self.status = StandaloneStatus(Metrics(challenges=lambda: (self.stats(),)))

    def stats(self):
        found = self.challenger.stats()
        assert found is not None
        return found

    def beside(self, champion: ModelSlot) -> Router:
        """A router between the challenger and a champion."""
        slots = ModelSlots()
        slots.add(champion)
        return Router(slots, {bundles.MODEL: self.challenger}, self.comparisons)

    def client(self) -> FlaskClient:
        limits = Limits(body_bytes=1_000_000, batch_rows=64)
        return create_application(self.router, limits=limits, status=self.status).test_client()

    def settle(self) -> None:
        """Compare everything that waits."""
        while self.comparisons.waiting:
            self.comparisons.tick()


def opened(number: int, bundle: dict[str, bytes], tensors: Schema) -> Predictor:
    manifest = bundles.manifest(number, bundle, tensors=tensors)
    return load_version(manifest, bundle, threads=1)


class Broken:
    """A predictor that dies at every question."""

    def __init__(self, predictor) -> None:
        self.manifest, self.inputs, self.outputs = (
            predictor.manifest,
            predictor.inputs,
            predictor.outputs,
        )

    def predict(self, inputs, outputs):
        raise RuntimeError("out of order")


class Slow(Broken):
    """A predictor that answers fifty times to say it once."""

    def __init__(self, predictor) -> None:
        super().__init__(predictor)
        self._predictor = predictor

    def predict(self, inputs, outputs):
        return [self._predictor.predict(inputs, outputs) for _ in range(50)][-1]


def replace(setup: ChallengeSetup, kind) -> None:
    """Have the challenger answer through another predictor."""
    slot = setup.challenger.slot
    loaded = slot.current()
    slot.put(LoadedVersion(loaded.generation, kind(loaded.predictor), loaded.record))


def ask(client, body=ONE, path=PREDICT, key="somebody"):
    return client.post(path, json=body, headers={"X-Client-Key": key})


def one(images=bundles.IMAGES[:1]) -> dict:
    return {"instances": images.tolist()}
