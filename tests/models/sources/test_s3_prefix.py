"""`Files` below an S3 prefix, in a real S3 server."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import boto3
import pyarrow as pa
import pytest

from overnight.api import Delivery, Files, Places, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess
from overnight.models.sources.local_folder import NotAtRest
from overnight.store.errors import ConfigurationError
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.letters_source import LettersDataset

COLUMNS = pa.schema([pa.field("letter", pa.string(), nullable=False)])
Put = Callable[[str, bytes], None]


@pytest.fixture
def put(s3_bucket: S3Bucket, s3_address: S3Address) -> Put:
    client = boto3.client(
        "s3",
        endpoint_url=s3_address.endpoint,
        aws_access_key_id=s3_address.access_key,
        aws_secret_access_key=s3_address.secret_key,
        region_name="us-east-1",
    )
    return lambda key, body: client.put_object(Bucket=s3_address.bucket, Key=key, Body=body)


def source(address: S3Address, **options: Any) -> Files:
    access = SourceAccess(
        url=options.pop("url", f"s3://{address.bucket}/shop/letters/"),
        s3_endpoint=options.pop("endpoint", address.endpoint),
        s3_access_key=address.access_key,
        s3_secret_key=options.pop("secret", address.secret_key),
    )
    return Files(
        Places(folder=None, cache=Path("nowhere"), access=access),
        model="letters",
        columns=COLUMNS,
        same_by=("letter",),
        **options,
    )


def test_objects_are_arrivals_and_one_that_is_replaced_is_reported(
    put: Put, s3_address: S3Address, tmp_path: Path
) -> None:
    for name, letters in {"holdout": "z", "a": "ab", "b": "bc", ".hidden": "x"}.items():
        put(f"shop/letters/{name}.csv", "\n".join(["letter", *letters, ""]).encode())
    put("shop/letters/notes.md", b"x")
    put("shop/letters/inner/c.csv", b"letter\ny\n")
    put("shop/letters-of-others/d.csv", b"letter\ny\n")
    dataset = LettersDataset(tmp_path, source=source(s3_address))

    first, second, third = dataset.ingest(), dataset.ingest(), dataset.ingest()

    assert [each.arrivals for each in (first, second, third)] == [("a",), ("b",), ()]
    assert dataset.letters() == "abc"
    assert third.notices[0].startswith("notes.md is left alone: it is no file whose name ends in")
    put("shop/letters/a.csv", b"letter\na\nb\nd\n")
    (_, notice) = dataset.ingest().notices
    assert notice.startswith("a.csv changed after it was ingested as a (11 bytes then, 13 now)")
    place = f"s3://{s3_address.bucket}/shop/letters/a.csv"
    assert f"`overnight ingest letters FILE` with a copy of {place} adds its new rows" in notice


def test_an_object_that_is_replaced_between_listing_and_download_is_left(
    put: Put, s3_address: S3Address
) -> None:
    put("shop/letters/a.csv", b"letter\na\n")
    declared = source(s3_address, holdout=None)
    (listed,) = declared.arrival_files().values()
    streamed = source(s3_address, holdout=None, whole_bytes=0).deliver(())
    assert isinstance(streamed, StreamedDelivery)

    put("shop/letters/a.csv", b"letter\nb\n")

    with pytest.raises(NotAtRest, match=r"a\.csv"):
        listed.read()
    with pytest.raises(NotAtRest, match=r"a\.csv"):
        list(streamed.batches(lambda line: pytest.fail(str(line))))
    delivery = declared.deliver(())
    assert isinstance(delivery, Delivery)
    assert delivery.files == {"a.csv": b"letter\nb\n"}


@pytest.mark.parametrize(
    ("options", "kind", "message"),
    [
        ({"secret": "the-wrong-one"}, UnusableSource, "OVERNIGHT_SOURCES__LETTERS__S3_ACCESS_KEY"),
        ({"url": "s3://no-such-bucket-of-ours/x"}, UnusableSource, "NoSuchBucket"),
        ({"endpoint": "http://127.0.0.1:1"}, SourceUnavailable, "Could not connect"),
        ({"url": "s3:///x"}, ConfigurationError, "s3://bucket/prefix"),
    ],
)
def test_a_prefix_that_cannot_be_read_is_named_without_any_secret(
    s3_bucket: S3Bucket,
    s3_address: S3Address,
    options: dict[str, str],
    kind: type[Exception],
    message: str,
) -> None:
    with pytest.raises(kind, match=message) as raised:
        source(s3_address, **options).deliver(())

    assert "the-wrong-one" not in str(raised.value)
    assert s3_address.secret_key not in str(raised.value)
