"""An application whose prediction log is read back, and segments as their reader finds them."""

from dataclasses import replace
from pathlib import Path

from flask.testing import FlaskClient

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segment_reader import decode
from overnight.store.registry.manifest import LogPolicy
from tests.support.serving import bundles
from tests.support.serving.challenges import opened
from tests.support.serving.clients import LIMITS

POLICY = LogPolicy(share=1.0, inputs="values", clients="digest", feedback=True)
LABEL = SentLabel(
    request="r-1",
    caller="",
    row=0,
    at_us=1,
    model=bundles.MODEL,
    truth={"probabilities": "7"},
    client="acme",
    origin="api",
)


def loaded(number: int, policy: LogPolicy | None) -> LoadedVersion:
    """A version whose answers are logged by a policy."""
    predictor = opened(number, bundles.files(number), bundles.TENSORS)
    predictor.manifest = predictor.manifest.model_copy(update={"logged": policy})
    return LoadedVersion(number, predictor, None)


class LoggedApplication:
    """An application with one model, and its log in a folder; nothing is written by itself."""

    def __init__(self, folder: Path, policy: LogPolicy | None = POLICY, **config: object) -> None:
        self.folder = folder
        self.spool = PredictionSpool(replace(SpoolConfig(folder), **config))
        slots = ModelSlots()
        self.slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
        self.slot.put(loaded(1, policy))
        self.slot.shared.activate(1)
        application = create_application(
            Router(slots),
            limits=LIMITS,
            status=StandaloneStatus(),
            predictions=self.spool,
            labels=self.spool,
        )
        self.client: FlaskClient = application.test_client()

    def records(self) -> list[AnsweredRequest | SentLabel]:
        """Everything that was offered until now, as it is on the disk."""
        self.spool.close()
        return records_below(self.folder)


def records_below(folder: Path) -> list[AnsweredRequest | SentLabel]:
    """The records of all segments below a folder, open or closed; none may be damaged."""
    records: list[AnsweredRequest | SentLabel] = []
    for path in sorted(folder.rglob("*.log*")):
        records += decoded(path.read_bytes(), may_be_torn=path.name.endswith(".open"))
    return records


def decoded(segment: bytes, *, may_be_torn: bool = False) -> list[AnsweredRequest | SentLabel]:
    """The records of a segment."""
    reader = decode(segment)
    records = list(reader)
    assert reader.damaged_frames == 0, reader.problem
    assert may_be_torn or reader.torn_bytes == 0, reader.problem
    return records


def dropped(spool: PredictionSpool) -> dict[str, int]:
    """How many records were dropped, by reason."""
    return {each.reason: each.records for each in spool.counters().dropped}
