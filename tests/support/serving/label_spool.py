"""A spool of labels in memory, and an application of digits that keeps labels in it."""

from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.predictions.records import SentLabel
from overnight.store.registry.manifest import LogPolicy
from overnight.store.schema import Schema
from tests.support.serving import bundles
from tests.support.serving.clients import LIMITS

POLICY = LogPolicy(
    share=1.0, inputs="values", clients="key", feedback=True, labels_per_client_daily=10_000
)


@dataclass
class LabelsInMemory:
    """Keeps so many labels."""

    room: int = 10_000
    labels: list[SentLabel] = field(default_factory=list)

    def offer_label(self, label: SentLabel) -> bool:
        if len(self.labels) >= self.room:
            return False
        self.labels.append(label)
        return True


def labelled_application(
    spool: LabelsInMemory | None,
    *,
    policy: LogPolicy | None = POLICY,
    tensors: Schema = bundles.TENSORS,
    **chosen: Any,
) -> FlaskClient:
    """A client of an application whose version has this policy of logging."""
    files = bundles.files(1)
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    predictor = load_version(bundles.manifest(1, files), files, threads=1)
    predictor.manifest = bundles.manifest(1, files, tensors=tensors).model_copy(
        update={"logged": policy}
    )
    slot.put(LoadedVersion(1, predictor, None))
    slot.shared.activate(1)
    return create_application(
        Router(slots), limits=LIMITS, status=StandaloneStatus(), labels=spool, **chosen
    ).test_client()
