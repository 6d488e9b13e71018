"""Applications that clients of other servers ask without a socket, and a server that has one."""

from collections.abc import Iterator

import grpc
import pytest
from flask.testing import FlaskClient

from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.schema import Schema
from tests.support.serving import bundles, published
from tests.support.serving.clients import LIMITS, application_of
from tests.support.serving.grpc_calls import Stub, channel_to
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """A model with one input, two outputs and labels."""
    return application_of()


@pytest.fixture(scope="module")
def shop() -> FlaskClient:
    """A model of single values: texts, categories and numbers, of which some may be missing."""
    return application_of(published.TENSORS, files=published.files())


@pytest.fixture(scope="module")
def unnamed() -> FlaskClient:
    """The first model without labels."""
    tensors = Schema(inputs=bundles.TENSORS.inputs, outputs=bundles.TENSORS.outputs)
    return application_of(tensors)


@pytest.fixture(scope="module")
def channel(client: FlaskClient) -> Iterator[grpc.Channel]:
    """The first model over gRPC."""
    with channel_to(client) as channel:
        yield channel


@pytest.fixture(scope="module")
def stub(channel: grpc.Channel) -> Stub:
    """The Open Inference Protocol of the first model, by NVIDIA Triton's generated stub."""
    return Stub(channel)


@pytest.fixture(scope="module")
def shop_stub(shop: FlaskClient) -> Iterator[Stub]:
    """That of the model of single values."""
    with channel_to(shop) as channel:
        yield Stub(channel)


@pytest.fixture
def two_versions() -> FlaskClient:
    """A host that serves version 2 and still has version 1."""
    return serving_versions(bundles.version_name(1), bundles.version_name(2))


def serving_versions(*names: str) -> FlaskClient:
    """A host with versions of these names, of which the last serves."""
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    for number, name in enumerate(names, 1):
        files = bundles.files(number)
        manifest = bundles.manifest(number, files).model_copy(update={"version": name})
        slot.put(LoadedVersion(number, load_version(manifest, files, threads=1), None))
        slot.shared.activate(number)
    return create_application(Router(slots), limits=LIMITS, status=StandaloneStatus()).test_client()


@pytest.fixture(scope="session")
def serving(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    """A server with one version, which all clients ask that have a socket."""
    place = tmp_path_factory.mktemp("clients")
    folder = bundles.folder(place / "bundle", 1)
    arguments = ("--rehearse", str(folder))
    with run_serving(*arguments, place=place / "home", grpc=True) as serving:
        until(serving.is_ready, what="the rehearsal is ready")
        yield serving
