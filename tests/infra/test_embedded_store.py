"""The embedded store's credentials, ports and program."""

import json
import stat

import pytest

from infra.settings import Settings, load
from infra.stack import embedded, seaweed
from infra.stack.ports import is_free
from store.errors import ConfigurationError


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    seaweed.write_credentials(tmp_path)
    return load()


def test_credentials_are_made_once_and_only_this_user_reads_them(settings, tmp_path):
    first = (tmp_path / "embedded.env").read_bytes()

    seaweed.write_credentials(tmp_path)
    seaweed.service(settings, keeps_running=False).before_start()

    assert (tmp_path / "embedded.env").read_bytes() == first
    for name in ("embedded.env", "s3.json"):
        assert stat.S_IMODE((tmp_path / name).stat().st_mode) == 0o600


def test_the_server_is_told_the_credentials_that_settings_read(settings, tmp_path):
    seaweed.service(settings, keeps_running=False).before_start()

    told = json.loads((tmp_path / "s3.json").read_text())["identities"][0]["credentials"][0]
    assert told["accessKey"] == settings.s3_access_key
    assert told["secretKey"] == settings.s3_secret_key.get_secret_value()
    assert len(told["secretKey"]) > 30


def test_two_homes_have_different_secrets(tmp_path):
    homes = tmp_path / "a", tmp_path / "b"

    for home in homes:
        seaweed.write_credentials(home)

    assert len({(home / "embedded.env").read_text() for home in homes}) == 2


def test_a_token_for_administration_is_made_once_beside_the_credentials(settings, tmp_path):
    assert "none yet" in embedded.where_administration(settings)

    embedded.ensure_administration(settings)
    made = load()
    embedded.ensure_administration(made)

    token = made.admin_token.get_secret_value()
    assert len(token) == 64
    assert load().admin_token == made.admin_token
    assert made.s3_secret_key == settings.s3_secret_key
    assert stat.S_IMODE((tmp_path / "embedded.env").stat().st_mode) == 0o600
    where = embedded.where_administration(made)
    assert str(tmp_path / "embedded.env") in where
    assert token not in where + repr(made)


def test_where_an_operator_has_set_a_token_none_is_made(settings, tmp_path, monkeypatch):
    before = (tmp_path / "embedded.env").read_text()

    for name, value, told in (
        ("OVERNIGHT_ADMIN_TOKEN", "t" * 32, "the environment"),
        ("OVERNIGHT_ADMIN_TOKENS_FILE", "/run/secrets/tokens", "/run/secrets/tokens"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            chosen = load()
            embedded.ensure_administration(chosen)
            assert told in embedded.where_administration(chosen)

    assert (tmp_path / "embedded.env").read_text() == before


def test_credentials_are_made_even_if_the_token_came_first(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    embedded.ensure_administration(load())

    seaweed.write_credentials(tmp_path)

    assert load().s3_secret_key.get_secret_value()
    assert load().admin_token.get_secret_value()


def test_inner_ports_are_free_distinct_and_kept(settings):
    first = seaweed.service(settings, keeps_running=False)
    second = seaweed.service(settings, keeps_running=False)
    ports = seaweed.InnerPorts.model_validate_json(
        (settings.home / "store-ports.json").read_bytes()
    )

    assert first.fingerprint == second.fingerprint
    assert len(set(ports.all)) == len(ports.all)
    assert all(is_free(port) for port in ports.all)


def test_a_missing_program_is_told_with_what_to_do(settings, tmp_path):
    chosen = settings.model_copy(update={"weed_bin": tmp_path / "no-such-weed"})

    with pytest.raises(ConfigurationError, match="WEED_BIN"):
        seaweed.service(chosen, keeps_running=False)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"master": 70000}', b"\xff"])
def test_ports_that_cannot_be_read_are_chosen_anew(settings, damage):
    path = settings.home / "store-ports.json"
    path.write_bytes(damage)

    seaweed.service(settings, keeps_running=True)

    assert seaweed.InnerPorts.model_validate_json(path.read_bytes())
