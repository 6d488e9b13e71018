"""What tests everywhere share: the genuine digits, and a real S3 server."""

import os
import uuid
from collections.abc import Generator, Iterator
from pathlib import Path

import pytest

from overnight.models.definition import Places
from overnight.models.digits.mnist_files import official_files
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support import genuine_digits as genuine_digits_of
from tests.support.flow_environment import (
    constant_digits,
    flow_environment,
    prefect_server,
    store_environment,
)
from tests.support.mlflow_server import mlflow_server
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.scheduler import (
    pytest_collection_modifyitems,
    pytest_ignore_collect,
    pytest_runtest_teardown,
    pytest_sessionfinish,
    pytest_terminal_summary,
    pytest_testnodedown,
    pytest_xdist_auto_num_workers,
    pytest_xdist_make_scheduler,
    shared,
)
from tests.support.stack import RunningStack, running_stack
from tests.support.wheel_environment import own_environment, wheel, wheel_environment

__all__ = [
    "constant_digits",
    "flow_environment",
    "mlflow_server",
    "own_environment",
    "prefect_server",
    "pytest_collection_modifyitems",
    "pytest_ignore_collect",
    "pytest_runtest_teardown",
    "pytest_sessionfinish",
    "pytest_terminal_summary",
    "pytest_testnodedown",
    "pytest_xdist_auto_num_workers",
    "pytest_xdist_make_scheduler",
    "store_environment",
    "wheel",
    "wheel_environment",
]


@pytest.fixture(scope="session")
def digits_folder(request: pytest.FixtureRequest) -> Path:
    """A folder with the four official files of MNIST, fetched once when there is none."""
    named = os.environ.get("OVERNIGHT_SOURCE_FOLDERS__DIGITS")
    beside = Path(__file__).parents[2] / "shared" / "data" / "mnist"
    folder = Path(named) if named else beside
    if (folder / "t10k-labels-idx1-ubyte.gz").exists():
        return folder
    cache = request.config.cache
    assert cache is not None
    fetched = cache.mkdir("digits")
    official_files(Places(folder=Path(named) if named else None, cache=fetched))
    return fetched


@pytest.fixture(scope="session")
def genuine_digits(
    digits_folder: Path, tmp_path_factory: pytest.TempPathFactory
) -> genuine_digits_of.GenuineDigits:
    """Read once for all tests of a worker."""
    cache = tmp_path_factory.mktemp("digits")
    return genuine_digits_of.read(Places(folder=digits_folder, cache=cache))


@pytest.fixture(scope="session")
def s3_endpoint(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """SeaweedFS over a socket, with credentials."""
    with seaweed(tmp_path_factory.mktemp("s3")) as endpoint:
        yield endpoint


@pytest.fixture
def s3_address(s3_endpoint: str) -> S3Address:
    """A bucket of its own for each test."""
    return S3Address(s3_endpoint, f"test-{uuid.uuid4().hex[:20]}", ACCESS, SECRET)


@pytest.fixture
def s3_bucket(s3_address: S3Address) -> S3Bucket:
    bucket = S3Bucket(s3_address)
    bucket.ensure()
    return bucket


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    """Add the services' logs to the report of a failed test of a stack."""
    report = yield
    running = getattr(item, "funcargs", {}).get("stack")
    if report.failed and isinstance(running, RunningStack):
        report.sections.append(("the services of the stack", running.log_ends()))
    return report


@pytest.fixture(scope="session")
def stack(
    pytestconfig: pytest.Config,
    tmp_path_factory: pytest.TempPathFactory,
    digits_folder: Path,
    genuine_digits: genuine_digits_of.GenuineDigits,
) -> Iterator[RunningStack]:
    """One whole stack for all tests that need one; it serves what a release trained."""
    whole = running_stack(tmp_path_factory.mktemp("stack"), digits_folder, genuine_digits)
    with shared(pytestconfig, whole) as running:
        yield running
