"""Applications that are asked over gRPC, by a server of this process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import grpc
import pytest
from flask.testing import FlaskClient

from tests.support.serving.clients import application_of
from tests.support.serving.grpc_calls import answering, channel_to


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    """A model with one input, two outputs and labels, over HTTP."""
    return application_of()


@pytest.fixture(scope="module")
def port(client: FlaskClient) -> Iterator[int]:
    """The same application over gRPC."""
    with answering(client) as port:
        yield port


@pytest.fixture(scope="module")
def channel(port: int) -> Iterator[grpc.Channel]:
    with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield channel


@pytest.fixture
def connect() -> Iterator[Callable[..., grpc.Channel]]:
    """Make an application and a channel to it; both end with the test."""
    with ExitStack() as stack:

        def made(client: FlaskClient | None = None, **chosen: Any) -> grpc.Channel:
            return stack.enter_context(channel_to(client or application_of(**chosen)))

        yield made
