"""What a registry refuses to publish, to read or to trust, with every message whole."""

import pytest

from overnight.store.errors import CorruptVersion, OvernightError, UnknownVersion, UntrustedVersion
from overnight.store.objects import keys
from overnight.store.objects.digests import digest
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.size_limits import MANIFEST_BYTES
from overnight.store.registry.manifest import Manifest, RunLineage
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.registry.versions import Trusted
from overnight.store.trust.signing import Signer
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, TRUST, named, registry, signer
from tests.support.tombstones import collected

OTHER = "20261123T020000-0123456789ab"
KEY = f"models/digits/versions/{VERSION}/manifest.json"
ANEW = "publish the version anew"
NAMES = "['golden.npz', 'predictor.tflite']"


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)
    return bucket


def test_the_registry_of_a_model_has_the_keys_of_the_whole(bucket: MemoryBucket) -> None:
    def own() -> Signer:
        return SIGNER

    assert Registry(bucket, TRUST, own).model("sales") == ModelRegistry(bucket, "sales", TRUST, own)


def test_a_name_that_no_model_can_have_is_no_model(bucket: MemoryBucket) -> None:
    bucket._objects["models/No Model/x"] = b""

    assert Registry(bucket).models() == ("digits",)


def long_named(name: str) -> Manifest:
    return manifest().model_copy(update={"run": RunLineage(id="run", name=name)})


def test_files_other_than_those_listed_are_not_published() -> None:
    with pytest.raises(CorruptVersion) as raised:
        ModelRegistry(MemoryBucket(), "digits").publish(manifest(), {"b": b"", "a": b""}, SIGNER)

    assert str(raised.value) == (
        f"digits {VERSION}: expected the files {NAMES} as listed, "
        f"found ['a', 'b'] with other names or contents; {ANEW}"
    )


def test_a_manifest_is_published_up_to_the_length_that_is_read() -> None:
    room = MANIFEST_BYTES - len(long_named("").encoded())
    longest, bucket = long_named("x" * room), MemoryBucket()

    ModelRegistry(bucket, "digits").publish(longest, FILES, SIGNER)
    with pytest.raises(CorruptVersion) as raised:
        ModelRegistry(MemoryBucket(), "digits").publish(long_named("x" * room + "x"), FILES, SIGNER)

    assert ModelRegistry(bucket, "digits").manifest(VERSION) == longest
    assert str(raised.value) == (
        f"digits {VERSION}: expected a manifest of at most {MANIFEST_BYTES:,} bytes, "
        f"found {MANIFEST_BYTES + 1:,}; {ANEW}"
    )


def test_a_signature_beside_that_of_another_manifest_is_found_under_its_second_name() -> None:
    # Given a signature that a run left which died before it wrote its manifest.
    bucket, body = MemoryBucket(), manifest().encoded()
    ModelRegistry(bucket, "digits").sign(VERSION, b"another", SIGNER)
    first = keys.signature("digits", VERSION, SIGNER.key_id)

    # When the version is published.
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, SIGNER)

    # Then nothing was overwritten, and the version is trusted.
    second = keys.signature("digits", VERSION, SIGNER.key_id, digest(body))
    assert bucket._objects[first] == SIGNER.sign(b"another").encoded()
    assert bucket._objects[second] == SIGNER.sign(body).encoded()
    assert registry(bucket).trusted(VERSION) == Trusted(
        manifest(), body, SIGNER.sign(body), named(SIGNER)
    )


def test_a_version_that_no_trusted_key_signed_is_told_with_who_did() -> None:
    bucket, stranger = MemoryBucket(), signer("a stranger")
    ModelRegistry(bucket, "digits").publish(manifest(), FILES, stranger)

    with pytest.raises(UntrustedVersion) as raised:
        registry(bucket).trusted(VERSION)

    assert str(raised.value) == (
        f"digits {VERSION}: expected its manifest to be signed by {named(SIGNER)}, but it is "
        f"signed by {stranger.key_id}, which is not trusted here or was revoked; if that key is "
        "yours, run `overnight keys trust NAME KEY`; if it was replaced, "
        f"`overnight keys sign digits {VERSION}` with the new one; else find out who published it"
    )


def test_a_signature_of_another_manifest_is_no_reason_to_trust_this_one() -> None:
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").sign(VERSION, b"another", SIGNER)
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())

    with pytest.raises(UntrustedVersion) as raised:
        registry(bucket).trusted(VERSION)

    assert str(raised.value) == (
        f"digits {VERSION}: expected its manifest to be signed by {named(SIGNER)}, but the "
        f"signature of {named(SIGNER)} does not match its current manifest, sha256 "
        f"{digest(manifest().encoded())}; one of them was changed: find out by whom, and "
        f"{ANEW}"
    )


def test_a_version_that_was_never_published_is_told_by_its_name(bucket: MemoryBucket) -> None:
    with pytest.raises(UnknownVersion) as raised:
        ModelRegistry(bucket, "digits").manifest(OTHER)

    assert str(raised.value) == (
        f"digits has no version '{OTHER}'; `overnight versions digits` lists them"
    )
    assert ModelRegistry(bucket, "digits").readable_manifests([OTHER, VERSION]) == {
        VERSION: manifest()
    }


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (b'{"format": 2}', "expected manifest format 1, found 2"),
        (b'{"format": 1}', "expected a valid manifest at model, found Field required"),
        (
            b" " * (MANIFEST_BYTES + 1),
            f"expected at most {MANIFEST_BYTES:,} bytes, found {MANIFEST_BYTES + 1:,} bytes",
        ),
        (
            manifest(version=OTHER, model="sales").encoded(),
            f"expected digits {VERSION}, found sales {OTHER}",
        ),
        (manifest({"../up": b""}).encoded(), "expected plain file names, found '../up'"),
    ],
    ids=["format", "field", "length", "version", "name"],
)
def test_a_manifest_that_cannot_be_used_is_told_by_its_key(body: bytes, why: str) -> None:
    bucket = MemoryBucket()
    bucket.create(KEY, body)

    with pytest.raises(CorruptVersion) as raised:
        ModelRegistry(bucket, "digits").manifest(VERSION)

    assert str(raised.value) == f"{KEY}: {why}; {ANEW}"


LONG = b"predictor, and more"


@pytest.mark.parametrize(
    ("name", "stored", "why"),
    [
        ("other.txt", None, f"expected one of {NAMES}, found other.txt"),
        ("predictor.tflite", None, "expected the published file, found nothing"),
        ("predictor.tflite", LONG, f"expected at most 9 bytes, found {len(LONG)} bytes"),
    ],
)
def test_a_file_that_is_not_as_it_was_published_is_told_by_its_name(
    bucket: MemoryBucket, name: str, stored: bytes | None, why: str
) -> None:
    key = keys.version_file("digits", VERSION, "predictor.tflite")
    del bucket._objects[key]
    if stored is not None:
        bucket.create(key, stored)

    with pytest.raises(OvernightError) as raised:
        ModelRegistry(bucket, "digits").read_file(manifest(), name)

    assert type(raised.value) is CorruptVersion
    assert str(raised.value) == f"digits {VERSION} {name}: {why}; {ANEW}"


def test_a_file_that_was_added_later_is_told_by_its_name(bucket: MemoryBucket) -> None:
    ModelRegistry(bucket, "digits").check_nothing_added(manifest())
    bucket.create(keys.version_file("digits", VERSION, "added.txt"), b"")

    with pytest.raises(CorruptVersion) as raised:
        ModelRegistry(bucket, "digits").check_nothing_added(manifest())

    assert str(raised.value) == (
        f"digits {VERSION}: expected the files {NAMES} and no others, "
        f"found ['added.txt'] added since it was published; {ANEW}"
    )


def test_a_collected_version_is_told_with_when_by_whom_and_what_is_kept(
    bucket: MemoryBucket,
) -> None:
    collected(bucket, VERSION)

    with pytest.raises(CorruptVersion) as raised:
        ModelRegistry(bucket, "digits").tombstones.check_not_collected(VERSION)

    assert str(raised.value) == (
        f"digits {VERSION}: expected its files, found that retention deleted them (collected on "
        "2026-12-24 by ada); name a version that is kept (`overnight versions digits`)"
    )
