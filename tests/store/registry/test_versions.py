"""Versions are complete or invisible, and damaged ones are never returned."""

import math
from datetime import UTC, datetime

import pytest

from overnight.store.errors import (
    AlreadyExists,
    BadKey,
    CollectedVersion,
    CorruptVersion,
    UnknownVersion,
)
from overnight.store.maintenance.garbage_collection import collect
from overnight.store.maintenance.retention_plan import survey
from overnight.store.maintenance.retention_policy import Retention
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.size_limits import MANIFEST_BYTES
from overnight.store.registry.manifest import Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import verify
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER


class DiesAfter(MemoryBucket):
    """A bucket whose writer dies after some writes."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes = writes

    def create(self, key: str, body: bytes) -> None:
        if self.writes == 0:
            raise SystemExit
        self.writes -= 1
        super().create(key, body)


def test_a_published_version_reads_back_as_it_was() -> None:
    bucket = MemoryBucket()

    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits").versions() == [VERSION]
    read = ModelRegistry(bucket, "digits").manifest(VERSION)
    assert read == manifest()
    assert {
        name: ModelRegistry(bucket, read.model).read_file(read, name) for name in read.files
    } == FILES


@pytest.mark.parametrize("writes", range(len(FILES) + 2))
def test_a_version_whose_writer_was_killed_is_invisible_and_can_be_finished(writes: int) -> None:
    bucket = DiesAfter(writes)
    with pytest.raises(SystemExit):
        ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits").versions() == []
    with pytest.raises(UnknownVersion):
        ModelRegistry(bucket, "digits").manifest(VERSION)

    bucket.writes = 100
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    assert ModelRegistry(bucket, "digits").versions() == [VERSION]


def test_a_version_is_never_published_with_other_contents() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    others = {**FILES, "predictor.tflite": b"another"}

    with pytest.raises(AlreadyExists):
        ModelRegistry(bucket, "digits").publish(manifest(others), others, SIGNER)


def test_files_that_differ_from_the_manifest_are_not_published() -> None:
    with pytest.raises(CorruptVersion, match="expected the files"):
        ModelRegistry(MemoryBucket(), "digits").publish(
            manifest(), {**FILES, "extra.txt": b"?"}, SIGNER
        )


def test_a_changed_file_is_refused_with_both_digests() -> None:
    bucket = MemoryBucket()
    for name, body in FILES.items():
        changed = b"tampered" if name == "predictor.tflite" else body
        bucket.create(keys.version_file("digits", VERSION, name), changed)
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())
    read = ModelRegistry(bucket, "digits").manifest(VERSION)

    with pytest.raises(CorruptVersion, match=r"predictor\.tflite: expected sha256 .* found sha256"):
        ModelRegistry(bucket, read.model).read_file(read, "predictor.tflite")


@pytest.mark.parametrize("body", [b"predictos", b"predicto", b"predictor ", b""])
def test_a_file_of_another_digest_or_size_is_refused(body: bytes) -> None:
    made = manifest()
    verify(made, "predictor.tflite", FILES["predictor.tflite"])

    with pytest.raises(CorruptVersion, match=rf"found sha256 \w+ \({len(body)} bytes\)"):
        verify(made, "predictor.tflite", body)


class CollectsAfter(MemoryBucket):
    """A bucket that retention cleans when a writer has written so many objects."""

    def __init__(self, writes: int) -> None:
        super().__init__()
        self.writes, self.deleted = writes, 0

    def create(self, key: str, body: bytes) -> None:
        super().create(key, body)
        self.writes -= 1
        if self.writes == 0:
            plan = survey(self, "digits", Retention(), datetime(2100, 1, 1, tzinfo=UTC))
            self.deleted = len(collect(self, plan, by="ada", on_skip=lambda *_: None))


@pytest.mark.parametrize("writes", range(1, len(FILES) + 3))
def test_a_version_is_published_whole_or_collected_at_whatever_write_retention_comes(
    writes: int,
) -> None:
    bucket = CollectsAfter(writes)
    registry = ModelRegistry(bucket, "digits")

    try:
        registry.publish(manifest(), FILES, SIGNER)
        is_published = True
    except CollectedVersion:
        is_published = False

    assert bucket.deleted == (0 if is_published else 1)
    # Only the manifest, which is the last write, makes it a published version.
    assert is_published == (writes == len(FILES) + 2)
    if is_published:
        assert {name: registry.read_file(manifest(), name) for name in FILES} == FILES


def test_a_missing_file_is_refused_by_name() -> None:
    bucket = MemoryBucket()
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())
    read = ModelRegistry(bucket, "digits").manifest(VERSION)

    with pytest.raises(CorruptVersion, match=r"predictor\.tflite: expected the published file"):
        ModelRegistry(bucket, read.model).read_file(read, "predictor.tflite")


def test_a_manifest_of_another_version_is_refused() -> None:
    bucket = MemoryBucket()
    other = "20261123T020000-0123456789ab"
    bucket.create(keys.manifest("digits", other), manifest().encoded())

    with pytest.raises(CorruptVersion, match=f"expected digits {other}"):
        ModelRegistry(bucket, "digits").manifest(other)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"{}", "found missing"),
        (b'{"format": 2}', "found 2"),
        (b"not json", "valid manifest"),
        (b'{"format": 1, "model": "digits"}', "version"),
    ],
)
def test_a_damaged_manifest_is_distinguished_from_a_missing_one(body: bytes, message: str) -> None:
    bucket = MemoryBucket()
    bucket.create(keys.manifest("digits", VERSION), body)

    with pytest.raises(CorruptVersion, match=message):
        ModelRegistry(bucket, "digits").manifest(VERSION)


@pytest.mark.parametrize("name", ["../escape", "a/b", ".hidden", "manifest.json", ""])
def test_a_manifest_cannot_name_files_outside_its_bundle(name: str) -> None:
    bucket = MemoryBucket()
    evil = manifest({name: b"x"})
    bucket.create(keys.manifest("digits", VERSION), evil.encoded())

    with pytest.raises(CorruptVersion, match="plain file names"):
        ModelRegistry(bucket, "digits").manifest(VERSION)


def test_readers_ignore_fields_they_do_not_know() -> None:
    bucket = MemoryBucket()
    newer = manifest().encoded().replace(b'"format": 1', b'"format": 1, "invented_later": [1]')
    bucket.create(keys.manifest("digits", VERSION), newer)

    assert ModelRegistry(bucket, "digits").manifest(VERSION) == manifest()


@pytest.mark.parametrize("version", ["", "latest", "../x", "20261122T020000-0123456789AB"])
def test_an_invalid_version_name_never_becomes_a_key(version: str) -> None:
    with pytest.raises(BadKey):
        ModelRegistry(MemoryBucket(), "digits").manifest(version)


def test_a_version_is_found_by_its_fingerprint() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits").find_by_fingerprint(manifest().fingerprint) == VERSION
    assert ModelRegistry(bucket, "digits").find_by_fingerprint("f" * 64) is None


@pytest.mark.parametrize("body", [b"no manifest", b" " * (MANIFEST_BYTES + 1)], ids=["bad", "long"])
def test_a_damaged_version_hides_no_other_of_its_fingerprint(body: bytes) -> None:
    bucket = MemoryBucket()
    registry = ModelRegistry(bucket, "digits")
    registry.publish(manifest(), FILES, SIGNER)
    later = f"20291122T020000-{manifest().fingerprint[:12]}"
    bucket.create(keys.manifest("digits", later), body)

    assert registry.find_by_fingerprint(manifest().fingerprint) == VERSION
    assert [*registry.readable_manifests([VERSION, later, "no version"])] == [VERSION]


def test_nan_survives_the_manifest() -> None:
    bucket = MemoryBucket()
    nothing = Measurement(metric="accuracy", value=math.nan, n=0)
    ModelRegistry(bucket, "digits").publish(
        manifest().model_copy(update={"measurements": (nothing,)}), FILES, SIGNER
    )

    (read,) = ModelRegistry(bucket, "digits").manifest(VERSION).measurements

    assert math.isnan(read.value)
