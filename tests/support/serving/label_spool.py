"""A spool of labels in memory, and an application of digits that keeps labels in it."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from flask.testing import FlaskClient

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.predictions.records import SentLabel
from overnight.store.registry.manifest import LogPolicy, Manifest
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

    def offer_labels(self, labels: Sequence[SentLabel]) -> bool:
        if len(self.labels) + len(labels) > self.room:
            return False
        self.labels += labels
        return True


def labelled_application(
    spool: LabelsInMemory | None,
    *,
    policy: LogPolicy | None = POLICY,
    tensors: Schema = bundles.TENSORS,
    others: Sequence[tuple[Manifest, dict[str, bytes]]] = (),
    limits: Limits = LIMITS,
    **chosen: Any,
) -> FlaskClient:
    """A client of an application with digits of these tensors, and other models."""
    slots = ModelSlots()
    files = bundles.files(1)
    digits = load_version(bundles.manifest(1, files), files, threads=1)
    digits.manifest = bundles.manifest(1, files, tensors=tensors)
    versions = [digits, *(load_version(manifest, files, threads=1) for manifest, files in others)]
    for version in versions:
        version.manifest = version.manifest.model_copy(update={"logged": policy})
        slot = slots.add(ModelSlot(version.manifest.model, SharedGeneration.in_process()))
        slot.put(LoadedVersion(1, version, None))
        slot.shared.activate(1)
    return create_application(
        Router(slots), limits=limits, status=StandaloneStatus(), labels=spool, **chosen
    ).test_client()
