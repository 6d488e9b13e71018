"""A client without a socket, and the bodies it sends."""

from typing import Any

import numpy as np
from flask.testing import FlaskClient

from overnight.serving.agent import HostAgent
from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.novelty import NoveltyRule
from overnight.store.registry.manifest import LogPolicy
from overnight.store.schema import Schema
from tests.support.serving import bundles
from tests.support.serving.stepped_host import Flaky, settle

INFER, PREDICT = "/v2/models/digits/infer", "/v1/models/digits:predict"
IMAGES = np.random.default_rng(9).integers(0, 20, (3, 28, 28), dtype=np.uint8)
EXPECTED = bundles.probabilities(1, IMAGES)
VERSION = bundles.version_name(1)
LIMITS = Limits(body_bytes=100_000, batch_rows=8)


def application_of(
    tensors: Schema = bundles.TENSORS,
    *,
    files: dict[str, bytes] | None = None,
    limits: Limits = LIMITS,
    novelty: NoveltyRule | None = None,
    policy: LogPolicy | None = None,
    **chosen: Any,
) -> FlaskClient:
    """A client of an application with one model; `chosen` is whatever else it is made with."""
    files = files or bundles.files(1)
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    manifest = bundles.manifest(1, files, tensors=tensors)
    manifest = manifest.model_copy(update={"novelty": novelty, "logged": policy})
    slot.put(LoadedVersion(1, load_version(manifest, files, threads=1), None))
    slot.shared.activate(1)
    status = StandaloneStatus()
    return create_application(Router(slots), limits=limits, status=status, **chosen).test_client()


def v2(images=IMAGES, **changes) -> dict:
    flat = images.ravel().tolist()
    tensor = {"name": "image", "shape": list(images.shape), "datatype": "UINT8", "data": flat}
    return {"inputs": [tensor | changes]}


def changed(place: int, value: object, images=IMAGES[:1]) -> list:
    flat = images.ravel().tolist()
    flat[place] = value
    return flat


def refused(client: FlaskClient, reason: str) -> float:
    """How many requests were refused so far, for one reason."""
    lines = client.get("/metrics").text.splitlines()
    mine = [line for line in lines if line.startswith("overnight_refused_requests_total{")]
    return sum(float(line.split()[-1]) for line in mine if f'reason="{reason}"' in line)


def remembering(agent: HostAgent, bucket: Flaky) -> FlaskClient:
    """A client of a worker that has looked at the store once, and can never ask it again."""
    settle(agent)
    agent.tick_history()
    bucket.error = AssertionError("the store was asked within a request")
    return create_application(agent.router, limits=LIMITS, status=agent.status).test_client()
