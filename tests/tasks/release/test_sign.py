"""Versions of an earlier release are signed after their files were verified."""

import pytest

from overnight.store.errors import CorruptVersion, UnknownVersion
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.release.sign import sign
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, TRUST


@pytest.fixture
def bucket() -> MemoryBucket:
    """A version that nobody signed."""
    bucket = MemoryBucket()
    for name, body in FILES.items():
        bucket.create(keys.version_file("digits", VERSION, name), body)
    bucket.create(keys.manifest("digits", VERSION), manifest().encoded())
    return bucket


def test_an_unsigned_version_is_trusted_once_it_is_signed(bucket):
    assert sign(ModelRegistry(bucket, "digits"), VERSION, SIGNER)
    assert not sign(ModelRegistry(bucket, "digits"), VERSION, SIGNER)

    assert ModelRegistry(bucket, "digits", TRUST).trusted(VERSION).manifest == manifest()


@pytest.mark.parametrize("how", ["changed", "missing", "added"])
def test_a_changed_version_is_not_signed(bucket, how):
    predictor = keys.version_file("digits", VERSION, "predictor.tflite")
    if how == "changed":
        bucket._objects[predictor] = b"another"
    elif how == "missing":
        del bucket._objects[predictor]
    else:
        bucket.create(keys.version_file("digits", VERSION, "hook.py"), b"")

    with pytest.raises(CorruptVersion, match=r"predictor\.tflite|hook\.py"):
        sign(ModelRegistry(bucket, "digits"), VERSION, SIGNER)

    assert ModelRegistry(bucket, "digits").signers(VERSION) == []


def test_an_unknown_version_is_not_signed():
    with pytest.raises(UnknownVersion):
        sign(ModelRegistry(MemoryBucket(), "digits"), VERSION, SIGNER)
