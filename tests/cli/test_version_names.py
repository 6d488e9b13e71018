"""Versions are shown by a short name, and taken by any unique beginning."""

import pytest

from overnight.cli.errors import AmbiguousVersion
from overnight.cli.version_names import ShortNames, resolve, resolve_or_leave
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.infra.stack.ports import free_port
from overnight.models.errors import UnknownModel
from overnight.store.errors import NothingPublished, StoreUnavailable, UnknownVersion
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER, alias_log

FIRST = "20261121T020000-0123456789ab"
SECOND = "20261122T020000-0123456789ab"
IN_THE_SAME_MINUTE = "20261122T020007-0123456789ab"
IN_THE_SAME_SECOND = "20261122T020007-fedcba987654"


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    for version in (FIRST, SECOND):
        ModelRegistry(bucket, "digits").publish(manifest(version=version), FILES, SIGNER)
    return bucket


@pytest.mark.parametrize(
    ("version", "others", "shown"),
    [
        (SECOND, [FIRST, SECOND], "20261122T0200"),
        (SECOND, [SECOND, IN_THE_SAME_MINUTE], "20261122T020000"),
        (IN_THE_SAME_SECOND, [IN_THE_SAME_MINUTE, IN_THE_SAME_SECOND], IN_THE_SAME_SECOND),
        ("damaged name", [FIRST], "damaged name"),
    ],
)
def test_a_name_is_as_long_as_it_must_be(version: str, others: list[str], shown: str) -> None:
    assert ShortNames(others)(version) == shown
    assert ShortNames(None)(version) == version


@pytest.mark.parametrize("text", [SECOND, SECOND[:13], "20261122"])
def test_a_unique_beginning_stands_for_its_version(bucket: MemoryBucket, text: str) -> None:
    assert resolve(bucket, "digits", text) == SECOND


def test_the_champion_is_named_by_that_word(bucket: MemoryBucket) -> None:
    alias_log(bucket, "digits").append(FIRST, expected=None, actor=Actor("ada"))

    assert resolve(bucket, "digits", "champion") == FIRST


def test_a_beginning_of_several_names_them(bucket: MemoryBucket) -> None:
    with pytest.raises(AmbiguousVersion, match=f"2 versions .* '2026': {FIRST}, {SECOND}; type"):
        resolve(bucket, "digits", "2026")


@pytest.mark.parametrize("text", ["abc", "", "20270101", "a/b", "20261122T020000-ffffffffffff"])
def test_what_begins_no_version_is_refused_by_what_lists_them(
    bucket: MemoryBucket, text: str
) -> None:
    with pytest.raises(UnknownVersion, match="`overnight versions digits` lists them"):
        resolve(bucket, "digits", text)


def test_a_model_that_does_not_exist_is_called_so(bucket: MemoryBucket) -> None:
    with pytest.raises(UnknownModel, match="no model is called 'nosuch'; known are: digits, sales"):
        resolve(bucket, "nosuch", "champion")
    # One that is declared, and has no version yet.
    with pytest.raises(NothingPublished, match="`overnight retrain sales` trains one"):
        resolve(bucket, "sales", "champion")


def test_only_a_whole_name_does_without_the_store(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", f"http://127.0.0.1:{free_port()}")
    away = connections.bucket(load(), tries=1)

    assert resolve_or_leave(away, "digits", SECOND) == SECOND
    with pytest.raises(StoreUnavailable):
        resolve_or_leave(away, "digits", SECOND[:13])
