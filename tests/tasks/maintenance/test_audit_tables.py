"""Damage of a model's tables is reported with its place; permitted states are not."""

from pathlib import Path

import numpy as np
import pytest

from overnight.models.digits.rows import Digits, as_rows
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptTable, NotFound, StoreUnavailable, TooLarge
from overnight.store.maintenance.audit_rules import Observation, Severity
from overnight.store.maintenance.retention_plan import survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data.snapshot import snapshot
from overnight.tasks.maintenance.audit_tables import audit_tables
from overnight.tasks.maintenance.vacuum import vacuum_table
from tests.support.filled_bucket import MODEL, NOW, rows

VERSION = "20261122T020000-0123456789ab"


class FolderBucket(MemoryBucket):
    """A bucket whose objects are the files of a folder, to be read only."""

    def __init__(self, root: Path) -> None:
        super().__init__()
        self.root = root

    def sizes_below(self, prefix: str) -> dict[str, int]:
        result = sorted(path for path in (self.root / prefix).rglob("*") if path.is_file())
        return {path.relative_to(self.root).as_posix(): path.stat().st_size for path in result}

    def keys_below(self, prefix: str) -> list[str]:
        return [*self.sizes_below(prefix)]

    def read(self, key: str, limit: int) -> bytes:
        try:
            body = (self.root / key).read_bytes()
        except FileNotFoundError:
            raise NotFound(key) from None
        if len(body) > limit:
            raise TooLarge.object(key, limit, len(body))
        return body


@pytest.fixture
def bucket(tmp_path: Path) -> FolderBucket:
    return FolderBucket(tmp_path)


def table(bucket: FolderBucket, name: str) -> Dataset:
    return Dataset.in_folder(bucket.root, MODEL, name)


def grow(bucket: FolderBucket, arrivals: int) -> None:
    table(bucket, "holdout").append(rows("holdout"), "holdout")
    for number in range(arrivals):
        table(bucket, "rows").append(rows(f"night-{number}"), f"night-{number}")


def commit(bucket: FolderBucket, number: int) -> Path:
    return bucket.root / keys.dataset(MODEL, "rows") / "_delta_log" / f"{number:020d}.json"


def seen(bucket: FolderBucket, recorded: dict[str, DataLineage] | None = None) -> list[Observation]:
    return list(audit_tables(bucket, lambda _, name: table(bucket, name), MODEL, recorded or {}))


def test_a_holdout_without_rows_is_no_damage(bucket):
    grow(bucket, arrivals=0)

    assert seen(bucket) == []


@pytest.mark.parametrize("lost", ["rows", "holdout"])
def test_a_missing_table_that_versions_were_made_from_is_reported(bucket, lost):
    grow(bucket, arrivals=1)
    made = snapshot(table(bucket, "rows"), table(bucket, "holdout")).lineage
    for path in sorted((bucket.root / keys.dataset(MODEL, lost)).rglob("*"), reverse=True):
        path.unlink() if path.is_file() else path.rmdir()
    (bucket.root / keys.dataset(MODEL, lost)).rmdir()

    [result] = seen(bucket, {VERSION: made})

    assert result.key == keys.dataset(MODEL, lost)
    assert "missing" in result.what


def test_a_flipped_bit_in_a_picture_is_reported(bucket):
    grow(bucket, arrivals=0)
    pixels = np.zeros((50, 28, 28), np.uint8)
    pixels[:, 0, 0] = range(50)
    arrived = as_rows(Digits(pixels, np.zeros(50, np.int8)))
    pixels[7, 14, 14] ^= 1
    result = arrived.set_column(0, "image", as_rows(Digits(pixels, np.zeros(50, np.int8)))["image"])
    table(bucket, "rows").append(result, "night-0")

    [reported] = seen(bucket)

    assert (reported.key, reported.severity) == (keys.dataset(MODEL, "rows"), Severity.ERROR)
    assert reported.what == "1 of 50 rows differ from what was ingested"


@pytest.mark.parametrize("body", [b"garbled", b"[1]", b"", b'{"add": {}}'])
def test_a_damaged_commit_before_a_checkpoint_is_reported_by_its_key(bucket, body):
    grow(bucket, arrivals=3)
    table(bucket, "rows")._open().create_checkpoint()
    commit(bucket, 1).write_bytes(body)

    [result] = seen(bucket)

    assert result.key == f"{keys.dataset(MODEL, 'rows')}/_delta_log/{1:020d}.json"
    assert result.severity is Severity.ERROR


def test_a_damaged_checkpoint_is_damage_and_no_outage(bucket):
    grow(bucket, arrivals=3)
    table(bucket, "rows")._open().create_checkpoint()
    [checkpoint] = commit(bucket, 0).parent.glob("*.checkpoint.parquet")
    checkpoint.write_bytes(b"x" * checkpoint.stat().st_size)

    with pytest.raises(CorruptTable, match="is damaged"):
        table(bucket, "rows").version()
    assert "the table cannot be read" in seen(bucket)[0].what


def test_an_outage_is_no_damage(bucket):
    grow(bucket, arrivals=1)
    away = Dataset(
        "s3://bucket/digits",
        {
            "AWS_ENDPOINT_URL": "http://127.0.0.1:9",
            "AWS_ACCESS_KEY_ID": "key",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_REGION": "us-east-1",
            "AWS_ALLOW_HTTP": "true",
            "max_retries": "0",
            "retry_timeout": "1s",
        },
    )

    with pytest.raises(StoreUnavailable, match="Connection refused"):
        list(audit_tables(bucket, lambda _model, _name: away, MODEL, {}))


def test_files_that_no_commit_names_are_noted_and_go_after_their_grace(bucket):
    grow(bucket, arrivals=2)
    before = table(bucket, "rows").files()
    # Given a stream of rows whose run died before its commit.
    left = rows("night-3")

    def dies():
        yield from left.to_batches()
        raise KeyboardInterrupt

    streamed = Dataset.in_folder(bucket.root, MODEL, "rows")
    orphan = bucket.root / keys.dataset(MODEL, "rows") / "part-00000-left-c000.snappy.parquet"
    with pytest.raises(KeyboardInterrupt):
        streamed.append_batches(left.schema, dies(), "night-3")
    orphan.write_bytes(b"half a file")

    reported = seen(bucket)
    plan = survey(bucket, MODEL, Retention(grace_days=0), NOW)
    kept = vacuum_table(
        bucket, table(bucket, "rows"), "rows", plan, Retention(grace_days=2), delete=True
    )
    gone = vacuum_table(
        bucket, table(bucket, "rows"), "rows", plan, Retention(grace_days=0), delete=True
    )

    assert {item.severity for item in reported} == {Severity.NOTE}
    assert "that no commit names" in reported[0].what
    assert kept.files == {}
    assert f"{keys.dataset(MODEL, 'rows')}/{orphan.name}" in gone.files
    assert not orphan.exists()
    assert table(bucket, "rows").files() == before
    assert seen(bucket) == []
