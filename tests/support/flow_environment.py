"""What flows need in tests: a Prefect server, an S3 bucket, a home, a few genuine digits."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from overnight.models import digits
from overnight.models.gates import AtLeast, BetterThan
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.genuine_digits import GenuineDigits, files_of
from tests.support.scheduler import shared
from tests.support.signing_keys import write_keys


@pytest.fixture(scope="session")
def prefect_server(pytestconfig: pytest.Config) -> Iterator[str]:
    """The address of a Prefect server, shared by all tests of a worker."""
    # Late: Prefect takes a second to import, and most tests do not need it.
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with shared(pytestconfig, prefect_test_harness(server_startup_timeout=180)):
        yield PREFECT_API_URL.value()


@dataclass(frozen=True)
class FlowEnvironment:
    """A bucket, a home, and genuine digits that can be landed in the bucket."""

    bucket: S3Bucket
    home: Path
    digits: GenuineDigits

    def land_digits(
        self,
        name: str,
        start: int,
        end: int,
        *,
        seen: Callable[[np.ndarray], np.ndarray] = np.asarray,
    ) -> None:
        """Land some of the training images as one arrival, transformed by `seen`."""
        self.digits.keep_holdout(Dataset.on_s3(self.bucket.address, "digits", "holdout"))
        files = files_of(seen(self.digits.images[start:end]), self.digits.labels[start:end])
        Landing(self.bucket, "digits").land(name, files, by="test", at=datetime.now(UTC))


@pytest.fixture
def store_environment(
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    digits_folder: Path,
    genuine_digits: GenuineDigits,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> FlowEnvironment:
    """A bucket and a home, named by the settings of this process; there is no Prefect server."""
    settings = {
        "HOME": str(tmp_path),
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
        "SOURCE_FOLDERS__DIGITS": str(digits_folder),
        "OVERRIDERS": "ann,bob",
        # No replica runs here, so a promotion must not wait for one.
        "REPLICAS": "0",
    }
    write_keys(tmp_path)
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    return FlowEnvironment(bucket=s3_bucket, home=tmp_path, digits=genuine_digits)


@pytest.fixture
def flow_environment(prefect_server: str, store_environment: FlowEnvironment) -> FlowEnvironment:
    """`store_environment` with a Prefect server."""
    return store_environment


@pytest.fixture
def constant_digits(monkeypatch: pytest.MonkeyPatch) -> None:
    """The digits with a constant network, for tests that are not about training."""
    # Of the genuine gates, some need more rows than the holdout of these tests has.
    constant = replace(
        digits.DEFINITION,
        network="tests.support.networks.constant",
        gates=(AtLeast("accuracy", 0.99), BetterThan("accuracy", baseline="majority_accuracy")),
    )
    monkeypatch.setattr(digits, "DEFINITION", constant)
