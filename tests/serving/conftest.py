"""A real S3 server, on free ports and in a temporary folder."""

import time
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from flask.testing import FlaskClient

from serving.fleet import Fleet, Following
from store.aliases import AliasLog
from store.errors import OvernightError
from store.s3 import S3Address, S3Bucket
from tests.serving import bundles
from tests.serving.clients import application_of
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


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return application_of()


@pytest.fixture
def log(bucket) -> AliasLog:
    return AliasLog(bucket, bundles.MODEL)


@pytest.fixture
def worker(bucket, tmp_path) -> Callable[..., Fleet]:
    """Start a worker of the host; those that a test does not end are ended after it."""
    started: list[Fleet] = []

    def start(models: tuple[str, ...] = ()) -> Fleet:
        following = Following(
            folder=tmp_path,
            models=models,
            replica="host",
            poll_seconds=0.0001,
            threads=1,
            workers=2,
        )
        fleet = Fleet(bucket, following)
        fleet.attend()
        started.append(fleet)
        return fleet

    yield start
    for fleet in started:
        fleet.stop()
