"""Applications that clients of other servers ask, without a socket."""

import pytest
from flask.testing import FlaskClient

from overnight.store.schema import Schema
from tests.support.serving import bundles, published
from tests.support.serving.clients import application_of


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
