"""`DeltaTable`: each arrival has the rows of the files that new versions added."""

import os
from pathlib import Path
from typing import Any

import deltalake
import pyarrow as pa
import pytest

from overnight.api import DeltaTable, HoldoutShare, Places, StreamedDelivery, TableVersion
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess
from overnight.store.errors import ConfigurationError
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.letters_source import LettersDataset

COLUMNS = pa.schema([pa.field("letter", pa.string(), nullable=False), ("units", pa.float32())])


def write(where: str, letters: str, options: dict[str, str] | None = None, **more: Any) -> None:
    rows = pa.table(
        {
            "letter": list(letters),
            "units": [1.5] * len(letters),
            "first": [letter < "m" for letter in letters],
        }
    )
    deltalake.write_deltalake(where, rows, mode="append", storage_options=options, **more)


def source(at: Path | str, **options: Any) -> DeltaTable:
    places = Places(None, Path("nowhere"), options.pop("access", SourceAccess()))
    declared = {"columns": COLUMNS, "same_by": ("letter",), "holdout": None} | options
    return DeltaTable(places, model="letters", at=str(at), **declared)


def letters(delivery: object) -> str:
    assert isinstance(delivery, StreamedDelivery)
    batches = delivery.batches(lambda line: pytest.fail(str(line)))
    return "".join(sorted(each for batch in batches for each in batch.column("letter").to_pylist()))


def test_an_arrival_has_what_was_added_since_the_last_one(tmp_path: Path) -> None:
    table = str(tmp_path / "table")
    write(table, "ab", partition_by=["first"])
    declared = source(table)
    first = declared.deliver(())
    assert first is not None
    assert first.name == "version-00000000000000000000"
    assert letters(first) == "ab"
    assert declared.deliver({first.name, "by-hand-1"}) is None

    write(table, "cx")
    write(table, "d")
    second = declared.deliver({first.name})

    assert second is not None
    assert second.name == "version-00000000000000000002"
    assert letters(second) == "cdx"


def test_rows_that_are_rewritten_come_again_and_are_dropped(tmp_path: Path) -> None:
    table = str(tmp_path / "table")
    write(table, "abz")
    dataset = LettersDataset(tmp_path, source=source(table, holdout=TableVersion(0)))
    dataset.source = source(table)
    dataset.ingest()
    write(table, "c")
    deltalake.DeltaTable(table).optimize.compact()

    ingested = dataset.ingest()

    assert (ingested.rows_added, ingested.duplicates) == (1, 3)
    assert dataset.letters() == "abcz"


def test_a_version_whose_log_is_gone_costs_reading_all_rows_again(tmp_path: Path) -> None:
    table = str(tmp_path / "table")
    write(table, "a")
    write(table, "b")
    deltalake.DeltaTable(table).create_checkpoint()
    for number in (0, 1):
        os.unlink(tmp_path / "table" / "_delta_log" / f"{number:020}.json")  # noqa: PTH108

    assert letters(source(table).deliver({"version-00000000000000000000"})) == "ab"


def test_a_version_or_a_share_is_the_holdout(tmp_path: Path) -> None:
    write(str(tmp_path), "az")
    write(str(tmp_path), "bcdefghi")

    assert source(tmp_path, holdout=TableVersion(0)).holdout().num_rows == 2
    assert 0 < source(tmp_path, holdout=HoldoutShare(0.5)).holdout().num_rows < 10
    with pytest.raises(UnusableSource, match="77"):
        source(tmp_path, holdout=TableVersion(77)).holdout()


def test_rows_with_gaps_where_none_may_be_are_kept_apart(tmp_path: Path) -> None:
    rows = pa.table({"letter": ["a", None], "units": [1.0, 2.0]})
    deltalake.write_deltalake(tmp_path / "table", rows)

    ingested = LettersDataset(tmp_path, source=source(tmp_path / "table")).ingest()

    assert ingested.rows_added == 1
    assert "line 2: letter: no value" in ingested.quarantined[0].reason


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"columns": COLUMNS.append(pa.field("n", pa.int32()))}, "no n among letter, units, first"),
        ({"columns": pa.schema([("letter", pa.list_(pa.int32()))])}, "letter as list"),
        ({"columns": pa.schema([("letter", pa.int32())])}, "line 1: letter: Failed to parse"),
    ],
)
def test_a_table_that_is_not_as_declared_is_refused_and_skips_nothing(
    tmp_path: Path, options: dict[str, Any], message: str
) -> None:
    write(str(tmp_path / "table"), "ab")
    dataset = LettersDataset(tmp_path, source=source(tmp_path / "table", **options))

    with pytest.raises(UnusableSource, match=message):
        dataset.ingest()

    dataset.source = source(tmp_path / "table")
    assert dataset.ingest().rows_added == 2


def test_a_table_that_is_damaged_or_not_there_is_named(tmp_path: Path) -> None:
    write(str(tmp_path / "table"), "ab")
    (file,) = (tmp_path / "table").glob("*.parquet")

    os.truncate(file, 20)
    with pytest.raises(UnusableSource, match="a Delta table whose files can be read"):
        letters(source(tmp_path / "table").deliver(()))
    file.unlink()
    with pytest.raises(UnusableSource, match="not found"):
        letters(source(tmp_path / "table").deliver(()))
    with pytest.raises(SourceUnavailable, match="no Delta table is there"):
        source(tmp_path / "none").deliver(())
    with pytest.raises(ConfigurationError, match="OVERNIGHT_SOURCES__LETTERS__URL is not set"):
        source("").deliver(())


def test_a_table_in_s3_is_read_with_the_credentials_of_the_settings(
    s3_bucket: S3Bucket, s3_address: S3Address
) -> None:
    access = SourceAccess(
        url=f"s3://{s3_address.bucket}/tables/letters",
        s3_endpoint=s3_address.endpoint,
        s3_access_key=s3_address.access_key,
        s3_secret_key=s3_address.secret_key,
    )
    options = {
        "AWS_ENDPOINT_URL": s3_address.endpoint,
        "AWS_ACCESS_KEY_ID": s3_address.access_key,
        "AWS_SECRET_ACCESS_KEY": s3_address.secret_key,
        "AWS_REGION": "us-east-1",
        "AWS_ALLOW_HTTP": "true",
        "aws_conditional_put": "etag",
    }
    write(access.url, "ab", options)
    wrong = SourceAccess(**{**vars(access), "s3_secret_key": "the-wrong-one"})
    away = SourceAccess(**{**vars(access), "s3_endpoint": "http://127.0.0.1:1"})

    assert letters(source("", access=access).deliver(())) == "ab"
    with pytest.raises(UnusableSource) as refused:
        source("", access=wrong).deliver(())
    assert "the-wrong-one" not in str(refused.value)
    with pytest.raises(SourceUnavailable, match="Connection refused"):
        source("", access=away).deliver(())
