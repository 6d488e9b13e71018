"""A version is loaded only as a trusted key signed it, with nothing added."""

import pytest

from overnight.store.errors import CorruptVersion, UnknownVersion, UntrustedVersion
from overnight.store.objects import keys, size_limits
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.trusted_keys import Trust
from tests.support.crashing_stores import Killed, KillingBucket
from tests.support.examples import FILES, VERSION, manifest
from tests.support.limits import LIMIT
from tests.support.signing_keys import SIGNER, TRUST, named, signer

OTHER = signer("another")
LATER = "20261123T020000-0123456789ab"


def test_a_signed_version_is_read_with_its_signer() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    trusted = ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)

    assert (trusted.manifest, trusted.signer) == (manifest(), named(SIGNER))
    assert trusted.body == bucket.read(keys.manifest("digits", VERSION), LIMIT)


def test_the_signature_is_written_before_the_manifest() -> None:
    bucket = MemoryBucket()
    with pytest.raises(Killed):
        ModelRegistry(KillingBucket(bucket, len(FILES) + 1), "digits").publish(
            manifest(), FILES, SIGNER
        )

    with pytest.raises(UnknownVersion):
        ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)
    assert ModelRegistry(bucket, "digits").signers(VERSION) == [SIGNER.key_id]


def test_a_run_killed_after_signing_may_publish_another_manifest() -> None:
    bucket = MemoryBucket()
    with pytest.raises(Killed):
        ModelRegistry(KillingBucket(bucket, len(FILES) + 1), "digits").publish(
            manifest(), FILES, SIGNER
        )
    moved_on = manifest().model_copy(update={"compared_with": LATER})

    ModelRegistry(bucket, moved_on.model).publish(moved_on, FILES, SIGNER)

    assert ModelRegistry(bucket, "digits", TRUST).trusted(VERSION).manifest == moved_on


def test_an_unsigned_version_is_refused_by_name() -> None:
    bucket = MemoryBucket()
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())

    with pytest.raises(UntrustedVersion, match=f"digits {VERSION}: .* it is not signed"):
        ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)


def test_a_version_signed_by_an_unknown_key_is_refused_with_its_id() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, OTHER)

    with pytest.raises(UntrustedVersion, match=f"it is signed by {OTHER.key_id}"):
        ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)


def test_a_version_may_have_several_signatures() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    body = ModelRegistry(bucket, "digits").manifest_bytes(VERSION)

    ModelRegistry(bucket, "digits").sign(VERSION, body, OTHER)

    for who in (SIGNER, OTHER):
        assert ModelRegistry(bucket, "digits", Trust([named(who)])).trusted(VERSION).body == body


def test_garbage_under_the_name_of_a_key_does_not_hide_its_signature() -> None:
    bucket = MemoryBucket()
    bucket.create(keys.signature("digits", VERSION, SIGNER.key_id), b"junk")

    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits", TRUST).trusted(VERSION).manifest == manifest()


def test_a_manifest_longer_than_any_is_refused_before_it_is_parsed() -> None:
    bucket = MemoryBucket()
    body = manifest().encoded() + b" " * size_limits.MANIFEST_BYTES
    ModelRegistry(bucket, "digits").sign(VERSION, body, SIGNER)
    bucket.create(keys.manifest("digits", VERSION), body)

    with pytest.raises(CorruptVersion, match=r"manifest\.json: expected at most 16,000,000 bytes"):
        ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)


def test_a_manifest_that_nobody_could_read_is_not_published() -> None:
    bucket = MemoryBucket()
    endless = manifest().model_copy(update={"signed_by": "x" * size_limits.MANIFEST_BYTES})

    with pytest.raises(CorruptVersion, match="expected a manifest of at most"):
        ModelRegistry(bucket, "digits").publish(endless, FILES, SIGNER)

    assert bucket.keys_below("models") == []


def test_a_signature_longer_than_any_does_not_hide_another() -> None:
    bucket = MemoryBucket()
    long = b" " * (size_limits.SIGNATURE_BYTES + 1)
    bucket.create(keys.signature("digits", VERSION, SIGNER.key_id), long)

    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits", TRUST).trusted(VERSION).manifest == manifest()


def test_of_a_file_no_more_is_read_than_its_manifest_says() -> None:
    bucket = MemoryBucket()
    registry = ModelRegistry(bucket, "digits", TRUST)
    registry.publish(manifest(), FILES, SIGNER)
    name, body = next(iter(FILES.items()))
    bucket._objects[keys.version_file("digits", VERSION, name)] = body + b"x"

    with pytest.raises(CorruptVersion, match=f"{name}: expected at most {len(body)} bytes"):
        registry.read_file(registry.trusted(VERSION).manifest, name)


def test_a_manifest_changed_after_it_was_signed_is_refused_with_its_digest() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").sign(VERSION, manifest().encoded(), SIGNER)
    tampered = manifest({**FILES, "predictor.tflite": b"another"}).encoded()
    bucket.create(keys.manifest("digits", VERSION), tampered)

    with pytest.raises(UntrustedVersion, match=r"does not match its current manifest, sha256"):
        ModelRegistry(bucket, "digits", TRUST).trusted(VERSION)


@pytest.mark.parametrize(("model", "version"), [("digits", LATER), ("sales", VERSION)])
def test_a_signed_manifest_does_not_pass_for_another_version_or_model(model, version) -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    moved = bucket.read(keys.manifest("digits", VERSION), LIMIT)
    envelope = bucket.read(keys.signature("digits", VERSION, SIGNER.key_id), LIMIT)
    bucket.create(keys.manifest(model, version), moved)
    bucket.create(keys.signature(model, version, SIGNER.key_id), envelope)

    with pytest.raises(CorruptVersion, match=f"expected {model} {version}, found digits {VERSION}"):
        ModelRegistry(bucket, model, TRUST).trusted(version)


def test_unknown_fields_of_a_later_release_are_covered_by_the_signature() -> None:
    bucket = MemoryBucket()
    newer = manifest().encoded().replace(b'"format": 1', b'"format": 1, "invented_later": [1]')
    ModelRegistry(bucket, "digits").sign(VERSION, newer, SIGNER)
    bucket.create(keys.manifest("digits", VERSION), newer)

    assert ModelRegistry(bucket, "digits", TRUST).trusted(VERSION).manifest == manifest()


def test_files_added_to_a_version_are_named() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    bucket.create(keys.decision("digits", VERSION), b"{}")
    ModelRegistry(bucket, manifest().model).check_nothing_added(manifest())

    bucket.create(keys.version_file("digits", VERSION, "plugin/hook.py"), b"import os")

    with pytest.raises(CorruptVersion, match=r"plugin/hook\.py'\] added since"):
        ModelRegistry(bucket, manifest().model).check_nothing_added(manifest())


@pytest.mark.parametrize("name", ["", "short.json", "0123456789abcdef", "0123456789ABCDEF.json"])
def test_other_names_than_those_of_signatures_name_no_key(name) -> None:
    assert keys.signed_by(name) is None
