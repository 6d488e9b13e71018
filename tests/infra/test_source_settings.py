"""Addresses and credentials of sources are settings, and no error or print shows one."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.flows.run.context import ModelContext
from overnight.infra.settings import load
from overnight.models import digits
from overnight.store.errors import ConfigurationError

SECRET = "the-secret-of-a-source"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in os.environ if name.startswith("OVERNIGHT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))


def test_a_source_gets_the_settings_of_its_model_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OVERNIGHT_SOURCES__MY_SHOP__URL", f"postgresql://u:{SECRET}@host/shop")
    monkeypatch.setenv("OVERNIGHT_SOURCES__MY_SHOP__PASSWORD", SECRET)
    monkeypatch.setenv("OVERNIGHT_SOURCES__MY_SHOP__S3_ENDPOINT", "http://store:8333")
    monkeypatch.setenv("OVERNIGHT_SOURCE_FOLDERS__MY_SHOP", "/data/shop")
    settings = load()
    opened = []

    def open_source(places: object) -> object:
        opened.append(places)
        return places

    for name in ("my-shop", "digits"):
        definition = replace(digits.DEFINITION, name=name, open_source=open_source)
        _ = ModelContext(definition, settings).source

    shop, other = opened
    assert shop.access.password == SECRET
    assert shop.access.url == f"postgresql://u:{SECRET}@host/shop"
    assert shop.access.s3_endpoint == "http://store:8333"
    assert shop.folder == Path("/data/shop")
    assert (other.folder, other.access.url, other.access.password) == (None, "", "")
    assert SECRET not in repr(settings) + repr(shop) + str(settings.model_dump(mode="json"))


def test_a_changed_password_is_another_digest_of_the_settings(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("OVERNIGHT_SOURCES__SHOP__PASSWORD", "before")
    before = load().digest("sources")
    monkeypatch.setenv("OVERNIGHT_SOURCES__SHOP__PASSWORD", "after")

    assert load().digest("sources") != before
    assert load().digest("sources") == load().digest("sources")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("SOURCES__SHOP__PASWORD", SECRET, "expected one of URL, USER, PASSWORD, TOKEN, S3_END"),
        ("SOURCES__SHOP", SECRET, "OVERNIGHT_SOURCES__SHOP"),
        ("SOURCES", SECRET, "OVERNIGHT_SOURCES: expected JSON"),
        ("SOURCES", '{"shop": {"password": 12345678}}', "expected password to be text"),
        ("SOURCES__SHOP__S3_ENDPOINT", f"http://u:{SECRET}@host", "without user or password"),
    ],
)
def test_a_wrong_setting_of_a_source_is_named_and_its_value_is_not(
    name: str, value: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"OVERNIGHT_{name}", value)

    with pytest.raises(ConfigurationError, match=message) as raised:
        load()

    assert SECRET not in str(raised.value)
    assert "12345678" not in str(raised.value)
