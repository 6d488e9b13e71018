"""Repairs restore what an export has and the bucket lost, and nothing else."""

from pathlib import Path

import pytest

from overnight.store.datasets.landing import Landing
from overnight.store.errors import ConfigurationError
from overnight.store.maintenance.export import export
from overnight.store.maintenance.repair import Export, missing, repair
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support.examples import FILES, manifest
from tests.support.filled_bucket import NOW
from tests.support.signing_keys import SIGNER, TRUST

REPORT = {**FILES, "report.html": b"why"}
OLD, NEW = (f"202611{day}T020000-0123456789ab" for day in (20, 21))


def served(bucket: MemoryBucket, version: str, *, over: str | None) -> None:
    ModelRegistry(bucket, "digits").publish(manifest(REPORT, version=version), REPORT, SIGNER)
    ModelRegistry(bucket, "digits").decisions.decide(version, "approved", Actor("ada", "good"))
    AliasLog(bucket, "digits").append(version, expected=over, actor=Actor("ada", "good"))


@pytest.fixture
def bucket() -> MemoryBucket:
    made = MemoryBucket()
    served(made, OLD, over=None)
    served(made, NEW, over=OLD)
    return made


@pytest.fixture
def folder(bucket: MemoryBucket, tmp_path: Path) -> Path:
    export(bucket, tmp_path / "export", source="here", progress=lambda *_: None)
    return tmp_path / "export"


def lose(bucket: MemoryBucket, *parts: str) -> dict[str, bytes]:
    """Take away every key with all of these parts."""
    lost = [key for key in bucket._objects if all(part in key for part in parts)]
    assert lost
    return {key: bucket._objects.pop(key) for key in lost}


def repaired(bucket: MemoryBucket, folder: Path) -> set[str]:
    """As the command does: over and over until nothing more comes back."""
    added: set[str] = set()
    while True:
        audit = verify(AuditContext(bucket, lambda _model, _name: None, TRUST))  # type: ignore[arg-type, return-value]
        source = Export(bucket, folder)
        wanted = [*source.missing_keys(), *missing(audit.findings)]
        more, _ = repair(bucket, wanted, [source])
        if not more:
            return added
        added |= {*more}


@pytest.mark.parametrize(
    "parts",
    [
        ("versions", NEW),
        ("versions", NEW, "decision.json"),
        ("versions", NEW, "manifest.json"),
        ("versions", "signatures"),
        ("aliases", "00000001"),
        ("aliases", "00000002"),
        ("aliases",),
        ("models",),
    ],
    ids=" ".join,
)
def test_everything_lost_is_restored_in_one_run(bucket, folder, parts):
    before = dict(bucket._objects)
    lost = lose(bucket, *parts)

    added = repaired(bucket, folder)

    assert added == lost.keys()
    assert bucket._objects == before


def test_files_collected_since_are_not_restored(bucket, folder):
    bucket.create(keys.tombstone("digits", OLD), b"{}")
    lose(bucket, "versions", OLD, ".tflite")
    lose(bucket, "versions", OLD, "decision.json")

    assert Export(bucket, folder).missing_keys() == [keys.decision("digits", OLD)]


def test_arrivals_ingested_since_are_not_restored(bucket, tmp_path):
    Landing(bucket, "digits").land("monday", {"a.csv": b"1,2"}, by="ada", at=NOW)
    export(bucket, tmp_path / "export", source="here", progress=lambda *_: None)
    lose(bucket, "landing")

    assert Export(bucket, tmp_path / "export").missing_keys() == []


def test_a_log_that_diverged_from_the_export_is_not_repaired_from_it(bucket, tmp_path):
    served(bucket, "20261122T020000-0123456789ab", over=NEW)
    export(bucket, tmp_path / "export", source="here", progress=lambda *_: None)
    lose(bucket, "aliases", "00000002")
    lose(bucket, "aliases", "00000003")
    # Given somebody who wrote another second record before anybody noticed.
    AliasLog(bucket, "digits").append(NEW, expected=OLD, actor=Actor("bob", "again"))

    added = repaired(bucket, tmp_path / "export")

    assert added == set()
    assert AliasLog(bucket, "digits").sequences() == [1, 2]


def test_the_export_of_another_bucket_is_refused(folder):
    other = MemoryBucket()
    served(other, OLD, over=None)

    with pytest.raises(ConfigurationError, match="is not an export of this bucket"):
        Export(other, folder)


def test_a_repair_can_be_limited_to_one_model(bucket, folder):
    lose(bucket, "aliases", "00000002")

    assert Export(bucket, folder).missing_keys("other") == []
    assert len(Export(bucket, folder).missing_keys("digits")) == 1
