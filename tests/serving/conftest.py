"""A real S3 server, on free ports and in a temporary folder."""

import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from store.errors import OvernightError
from store.s3 import S3Address, S3Bucket
from tests.serving.rig import ACCESS, SECRET, seaweed, until


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS over a socket, with credentials."""
    with seaweed(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def address(s3_endpoint: str, request: pytest.FixtureRequest) -> S3Address:
    """A bucket of its own for each test."""
    name = f"t{abs(hash(request.node.nodeid)) % 10**12}-{time.time_ns() % 10**9}"
    return S3Address(s3_endpoint, name, ACCESS, SECRET)


@pytest.fixture
def bucket(address: S3Address) -> S3Bucket:
    bucket = S3Bucket(address)

    def writable() -> bool:
        with suppress(OvernightError):
            bucket.ensure()
            bucket.create("probe/ready", b"ready")
            return bucket.read("probe/ready") == b"ready"
        return False

    until(writable, why="SeaweedFS takes writes")
    return bucket
