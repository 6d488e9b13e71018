"""Settings: what is wrong is named as the operator wrote it."""

import pytest

from infra.settings import load
from store.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OVERNIGHT_S3_PORT", "abc"),
        ("OVERNIGHT_SERVING_PORT", "70000"),
        ("OVERNIGHT_S3_ENDPOINT", "127.0.0.1:8333"),
        ("OVERNIGHT_PREFECT_API_URL", "ftp://there/api"),
        ("OVERNIGHT_POLL_SECONDS", "-1"),
    ],
)
def test_a_wrong_setting_is_named_with_what_was_found(name, value, monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv(name, value)

    with pytest.raises(ConfigurationError) as raised:
        load()

    assert name in str(raised.value)
    assert value in str(raised.value)


def test_the_environment_wins_over_what_the_embedded_stack_wrote(monkeypatch, tmp_path):
    (tmp_path / "embedded.env").write_text(
        "OVERNIGHT_S3_ACCESS_KEY=embedded\nOVERNIGHT_S3_SECRET_KEY=secret\n"
    )
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ACCESS_KEY", "mine")

    settings = load()

    assert settings.s3_access_key == "mine"
    assert settings.s3_secret_key.get_secret_value() == "secret"


def test_addresses_follow_their_ports_until_they_point_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PREFECT_PORT", "4201")
    here = load()
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", "http://prefect.example/api")
    elsewhere = load()

    assert here.api_url == "http://127.0.0.1:4201/api"
    assert elsewhere.api_url == "http://prefect.example/api"
