"""Failures while a table is written: corrupted files and expired credentials."""

import multiprocessing
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import StoreDenied, StoreUnavailable
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def digits(n: int = 50) -> pa.Table:
    pixels = np.random.default_rng(1).integers(0, 256, (n, 28, 28)).astype(np.uint8)
    return as_rows(Digits(pixels, np.zeros(n, np.int8)))


def append(address: S3Address) -> None:
    Dataset.on_s3(address, "digits", "rows").append(digits(), "monday")


def append_batches(address: S3Address) -> None:
    rows = digits()
    table = Dataset.on_s3(address, "digits", "rows")
    table.append_batches(rows.schema, iter(rows.to_batches()), "monday")


def output(way: Callable[[S3Address], None], address: S3Address) -> str:
    """What came of it; our errors do not pass from one process to another."""
    try:
        way(address)
    except StoreUnavailable as error:
        return str(error)
    return "appended"


@pytest.mark.parametrize("way", [append, append_batches])
@pytest.mark.parametrize("what", [".parquet", "/_delta_log/"])
def test_a_table_file_corrupted_during_upload_is_refused_and_not_committed(
    s3_address: S3Address, s3_bucket: S3Bucket, way: Callable[[S3Address], None], what: str
) -> None:
    table = Dataset.on_s3(s3_address, "digits", "rows")
    table.append(digits().slice(0, 0), "none")

    def upload(method: str, path: str) -> bool:
        return method == "PUT" and what in path

    # In a process of its own: Arrow's writer lets no other thread run while it waits.
    alone = ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn"))
    with alone, FaultProxy(s3_address.endpoint) as proxy:
        proxy.inject(Fault(FaultKind.CORRUPT_REQUEST, only=upload))
        spoiled = replace(s3_address, endpoint=proxy.endpoint)
        assert "BadDigest" in alone.submit(output, way, spoiled).result()
        assert proxy.injected[FaultKind.CORRUPT_REQUEST]

    assert table.arrival_names() == {"none"}
    way(s3_address)
    assert table.arrival_names() == {"none", "monday"}
    assert table.read().num_rows == 50


@pytest.mark.parametrize(
    ("status", "code"), [(400, "ExpiredToken"), (403, "AccessDenied"), (401, "Unauthorized")]
)
def test_credentials_that_expire_during_a_table_write_are_reported_as_denied(
    s3_address: S3Address, s3_bucket: S3Bucket, status: int, code: str
) -> None:
    append(s3_address)

    def upload(method: str, path: str) -> bool:
        return method == "PUT"

    with FaultProxy(s3_address.endpoint) as proxy:
        proxy.inject(Fault(FaultKind.FAIL, status=status, code=code, only=upload))
        table = Dataset.on_s3(replace(s3_address, endpoint=proxy.endpoint), "digits", "rows")
        with pytest.raises(StoreDenied, match="OVERNIGHT_S3_SECRET_KEY"):
            table.append(digits(), "tuesday")
