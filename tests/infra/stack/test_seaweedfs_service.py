"""The embedded store's credentials, ports and program."""

import json
import stat

import pytest

from overnight.cli.actions.up import shared_credential_warning
from overnight.infra import identities
from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets, seaweedfs_service
from overnight.infra.stack.ports import is_free
from overnight.store.errors import ConfigurationError


@pytest.fixture
def settings(tmp_path, monkeypatch) -> Settings:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    local_secrets.write_credentials(tmp_path)
    return load()


def test_credentials_are_made_once_and_only_this_user_reads_them(settings, tmp_path):
    files = [identities.path(tmp_path, name) for name in identities.NAMES]
    first = [file.read_bytes() for file in files]

    local_secrets.write_credentials(tmp_path)
    seaweedfs_service.service(settings, keeps_running=False).before_start()

    assert [file.read_bytes() for file in files] == first
    assert len(set(first)) == len(first)
    for file in (*files, tmp_path / "s3.json"):
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(files[0].parent.stat().st_mode) == 0o700


def test_a_home_that_others_could_read_is_closed_to_them(tmp_path):
    home = tmp_path / "home"
    home.mkdir(mode=0o755)

    local_secrets.make_private(home)

    assert stat.S_IMODE(home.stat().st_mode) == 0o700


def credentials(tmp_path) -> dict[str, dict[str, str]]:
    reported = json.loads((tmp_path / "s3.json").read_text())["identities"]
    return {identity["name"]: identity["credentials"][0] for identity in reported}


@pytest.mark.parametrize("name", identities.NAMES)
def test_the_server_is_configured_with_the_credentials_that_settings_read(name, settings, tmp_path):
    seaweedfs_service.service(settings, keeps_running=False).before_start()

    read, reported = load(name), credentials(tmp_path)[name]
    assert reported["accessKey"] == read.s3_access_key
    assert reported["secretKey"] == read.s3_secret_key.get_secret_value()
    assert len(reported["secretKey"]) > 30


def test_serving_alone_has_what_moves_aliases_besides_its_own(settings):
    serving, operator, training = load("serving"), load("operator"), load("training")

    assert serving.s3_operator_access_key == operator.s3_access_key != serving.s3_access_key
    assert serving.s3_operator_secret_key == operator.s3_secret_key
    assert not training.s3_operator_access_key


def test_the_one_credential_of_an_older_home_goes_on_as_administrations(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    (tmp_path / "embedded.env").write_text(
        "OVERNIGHT_S3_ACCESS_KEY=as-it-was\nOVERNIGHT_S3_SECRET_KEY=the-secret-as-it-was\n"
    )

    local_secrets.write_credentials(tmp_path)
    seaweedfs_service.service(load(), keeps_running=False).before_start()

    assert load().s3_access_key == "as-it-was"
    assert load("serving").s3_access_key not in {"as-it-was", "overnight"}
    assert credentials(tmp_path)["administration"]["secretKey"] == "the-secret-as-it-was"


def test_what_the_environment_says_is_who_administration_is(settings, tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_S3_ACCESS_KEY", "chosen")
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "a-secret-of-the-operator")

    seaweedfs_service.service(load(), keeps_running=False).before_start()

    assert credentials(tmp_path)["administration"]["accessKey"] == "chosen"


def test_a_model_that_people_decide_about_is_no_reason_to_restart_the_store(settings):
    by_gates = seaweedfs_service.service(settings, keeps_running=False)
    seaweedfs_service.write_identities(settings)

    seaweedfs_service.keep_manual(settings.home, ("digits",))

    # The running store reads the rules again, and so does each later start of it.
    assert seaweedfs_service.service(settings, keeps_running=False).fingerprint == (
        by_gates.fingerprint
    )
    assert seaweedfs_service.write_identities(settings)
    assert not seaweedfs_service.write_identities(settings)
    assert "models/digits/" in (settings.home / "s3.json").read_text()


@pytest.mark.parametrize("name", ["nobody", "../keys/signing", "serving/.."])
def test_an_identity_that_does_not_exist_is_named(name, tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_IDENTITY", name)

    with pytest.raises(ConfigurationError, match="OVERNIGHT_IDENTITY: expected one of landing"):
        load()


def test_two_homes_have_different_secrets(tmp_path):
    homes = tmp_path / "a", tmp_path / "b"

    for home in homes:
        local_secrets.write_credentials(home)

    assert len({identities.path(home, "serving").read_text() for home in homes}) == 2


def test_the_identity_that_only_reads_also_knows_where_the_store_is(tmp_path, monkeypatch):
    local_secrets.write_credentials(tmp_path, endpoint="http://127.0.0.1:9000", bucket="mine")
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))

    lines = identities.path(tmp_path, "reading").read_text().splitlines()
    assert lines[3:] == ["AWS_ENDPOINT_URL=http://127.0.0.1:9000", "OVERNIGHT_S3_BUCKET=mine"]
    assert "9000" not in identities.path(tmp_path, "training").read_text()
    # It remains an identity of the embedded store.
    assert load("reading").s3_endpoint is None


def test_a_token_for_administration_is_made_once_beside_the_credentials(settings, tmp_path):
    assert "none yet" in local_secrets.admin_token_location(settings)

    local_secrets.ensure_admin_token(settings)
    made = load()
    local_secrets.ensure_admin_token(made)

    token = made.admin_token.get_secret_value()
    assert len(token) == 64
    assert load().admin_token == made.admin_token
    assert made.s3_secret_key == settings.s3_secret_key
    assert stat.S_IMODE((tmp_path / "embedded.env").stat().st_mode) == 0o600
    where = local_secrets.admin_token_location(made)
    assert str(tmp_path / "embedded.env") in where
    assert token not in where + repr(made)


def test_where_an_operator_has_set_a_token_none_is_made(settings, tmp_path, monkeypatch):
    for name, value, reported in (
        ("OVERNIGHT_ADMIN_TOKEN", "t" * 32, "the environment"),
        ("OVERNIGHT_ADMIN_TOKENS_FILE", "/run/secrets/tokens", "/run/secrets/tokens"),
    ):
        with monkeypatch.context() as patch:
            patch.setenv(name, value)
            chosen = load()
            local_secrets.ensure_admin_token(chosen)
            assert reported in local_secrets.admin_token_location(chosen)

    assert not (tmp_path / "embedded.env").exists()


def test_credentials_are_made_even_if_the_token_came_first(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    local_secrets.ensure_admin_token(load())

    local_secrets.write_credentials(tmp_path)

    assert load().s3_secret_key.get_secret_value()
    assert load().admin_token.get_secret_value()


def test_inner_ports_are_free_distinct_and_kept(settings):
    first = seaweedfs_service.service(settings, keeps_running=False)
    second = seaweedfs_service.service(settings, keeps_running=False)
    ports = seaweedfs_service.InnerPorts.model_validate_json(
        (settings.home / "store-ports.json").read_bytes()
    )

    assert first.fingerprint == second.fingerprint
    assert len(set(ports.all)) == len(ports.all)
    assert all(is_free(port) for port in ports.all)


def test_a_missing_program_is_reported_with_a_remedy(settings, tmp_path):
    chosen = settings.model_copy(update={"weed_bin": tmp_path / "no-such-weed"})

    with pytest.raises(ConfigurationError, match="WEED_BIN"):
        seaweedfs_service.service(chosen, keeps_running=False)


@pytest.mark.parametrize("damage", [b"", b"{", b'{"master": 70000}', b"\xff"])
def test_ports_that_cannot_be_read_are_chosen_anew(settings, damage):
    path = settings.home / "store-ports.json"
    path.write_bytes(damage)

    seaweedfs_service.service(settings, keeps_running=True)

    assert seaweedfs_service.InnerPorts.model_validate_json(path.read_bytes())


def test_a_credential_in_the_environment_makes_nobody_else_of_the_embedded_identities(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("OVERNIGHT_S3_ACCESS_KEY", "chosen")
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "a-secret-of-the-operator")

    seaweedfs_service.service(load(), keeps_running=False).before_start()

    reported = credentials(tmp_path)
    for name in identities.NAMES:
        read = load(name)
        assert (read.s3_access_key == "chosen") == (name == "administration")
        assert reported[name]["accessKey"] == read.s3_access_key
        assert reported[name]["secretKey"] == read.s3_secret_key.get_secret_value()


def test_at_a_store_of_ones_own_the_environment_says_who_everybody_is_and_up_warns(
    settings, tmp_path, monkeypatch
):
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:1")
    apart = shared_credential_warning(load())

    monkeypatch.setenv("OVERNIGHT_S3_ACCESS_KEY", "chosen")
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "a-secret-of-the-operator")

    assert apart == ""
    assert load("serving").s3_access_key == "chosen"
    assert "identities/serving.env" in shared_credential_warning(load())
    assert "a-secret" not in shared_credential_warning(load())
