"""Settings: what is wrong is named as the operator wrote it."""

import pytest

from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("OVERNIGHT_S3_PORT", "abc"),
        ("OVERNIGHT_SERVING_PORT", "70000"),
        ("OVERNIGHT_S3_ENDPOINT", "127.0.0.1:8333"),
        ("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:9000/minio-api"),
        ("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:9000/overnight/"),
        ("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:9000?x=1"),
        ("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:9000#a"),
        ("OVERNIGHT_PREFECT_API_URL", "http://there/api?x=1"),
        ("OVERNIGHT_SERVING_URL", "http://there/#a"),
        ("OVERNIGHT_PREFECT_API_URL", "ftp://there/api"),
        ("OVERNIGHT_POLL_SECONDS", "-1"),
        ("OVERNIGHT_SOURCE_FOLDERS", "/data/mnist"),
        ("OVERNIGHT_LOG_LEVEL", "loud"),
        ("OVERNIGHT_S3_ENDPOINT", "http://my_store:9000"),
        ("OVERNIGHT_S3_ENDPOINT", "http://-store:9000"),
        ("OVERNIGHT_REPLICA", "a/b"),
        ("OVERNIGHT_DRAIN_SECONDS", "-1"),
        ("OVERNIGHT_MAXIMUM_WAITING_REQUESTS", "1"),
        ("OVERNIGHT_REQUESTS_PER_SECOND_PER_CLIENT", "0"),
        ("OVERNIGHT_PREDICTION_KEYS_FILE", "secrets/keys"),
        ("OVERNIGHT_SIGNING_KEY_FILE", "keys/signing.pem"),
        ("OVERNIGHT_TRUSTED_KEYS_FILE", "keys/trusted"),
        ("OVERNIGHT_CORS_ORIGINS", "*"),
        ("OVERNIGHT_CORS_ORIGINS", "https://app.example/"),
        ("OVERNIGHT_CORS_ORIGINS", "https://*.example"),
        ("OVERNIGHT_CORS_ORIGINS", "app.example"),
        ("OVERNIGHT_LOG_REQUESTS", "loudly"),
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


def test_origins_are_separated_by_commas(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_CORS_ORIGINS", "https://app.example, http://[::1]:3000")

    assert load().cors_origins == ("https://app.example", "http://[::1]:3000")


def test_nobody_may_override_gates_unless_named(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    assert load().overriders == ()

    monkeypatch.setenv("OVERNIGHT_OVERRIDERS", "ann, bob")
    assert load().overriders == ("ann", "bob")


def test_addresses_follow_their_ports_until_they_point_elsewhere(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PREFECT_PORT", "4201")
    here = load()
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", "http://prefect.example/api")
    elsewhere = load()

    assert here.api_url == "http://127.0.0.1:4201/api"
    assert elsewhere.api_url == "http://prefect.example/api"


@pytest.mark.parametrize(
    ("host", "port", "address"),
    [
        ("127.0.0.1", "8081", "127.0.0.1:8081"),
        ("0.0.0.0", "9000", "127.0.0.1:9000"),  # noqa: S104
        ("::1", "9000", "[::1]:9000"),
        ("127.0.0.1", "0", ""),
    ],
)
def test_the_address_of_grpc_is_a_host_and_a_port(monkeypatch, tmp_path, host, port, address):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_SERVING_HOST", host)
    monkeypatch.setenv("OVERNIGHT_SERVING_GRPC_PORT", port)

    assert load().grpc_address == address


@pytest.mark.parametrize(
    "endpoint",
    [
        "http://127.0.0.1:8333",
        "http://[::1]:8333",
        "https://s3.eu-west-1.amazonaws.com",
        "http://b",
    ],
)
def test_hosts_that_s3_clients_take_are_taken(endpoint, monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", endpoint)

    assert load().store_endpoint == endpoint


def test_where_the_bucket_belongs_is_said_of_an_endpoint_that_contains_it(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:8333/overnight")

    with pytest.raises(ConfigurationError, match=r"without a path: .* OVERNIGHT_S3_BUCKET names"):
        load()


def test_a_slash_at_the_end_of_an_endpoint_is_no_path(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", "http://127.0.0.1:8333/")

    assert load().store_endpoint == "http://127.0.0.1:8333"


def test_a_log_level_may_be_written_small(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_LOG_LEVEL", "debug")

    assert load().log_level == "DEBUG"


@pytest.mark.parametrize("name", ["WEED_BIN", "OVERNIGHT_WEED_BIN"])
def test_the_program_of_the_store_has_two_names(name, monkeypatch, tmp_path):
    monkeypatch.delenv("WEED_BIN", raising=False)
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv(name, "/opt/weed")

    assert str(load().weed_bin) == "/opt/weed"


@pytest.mark.parametrize(
    ("host", "url"),
    [
        ("0.0.0.0", "http://127.0.0.1:8080"),  # noqa: S104
        ("::", "http://127.0.0.1:8080"),
        ("::1", "http://[::1]:8080"),
        ("10.0.0.7", "http://10.0.0.7:8080"),
    ],
)
def test_serving_is_found_where_it_listens(host, url, monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_SERVING_HOST", host)

    assert load().answers_url == url


def test_a_digest_tells_settings_apart_and_shows_no_secret(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    first, again = load(), load()
    monkeypatch.setenv("OVERNIGHT_S3_SECRET_KEY", "another")
    second = load()

    assert first.digest("s3_") == again.digest("s3_")
    assert first.digest("s3_") != second.digest("s3_")
    assert first.digest("serving_") == second.digest("serving_")


@pytest.mark.parametrize(
    "address",
    ["http://ann:pass-word@there:9000", "http://ann:pass-word@my_store", "ftp://ann:pass-word@x/y"],
)
@pytest.mark.parametrize(
    "name", ["OVERNIGHT_S3_ENDPOINT", "OVERNIGHT_PREFECT_API_URL", "OVERNIGHT_SERVING_URL"]
)
def test_an_address_with_a_password_is_refused_and_the_password_not_shown(
    name, address, monkeypatch, tmp_path
):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv(name, address)

    with pytest.raises(ConfigurationError, match=f"{name}: expected an address without") as raised:
        load()

    assert "OVERNIGHT_PREFECT_AUTH" in str(raised.value)
    assert "pass-word" not in f"{raised.value} {raised.value.__cause__}"


def test_a_password_before_an_address_without_scheme_is_not_shown(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_S3_ENDPOINT", "ann:pass-word@there:9000")

    with pytest.raises(ConfigurationError, match=r"found …@there:9000") as raised:
        load()

    assert "pass-word" not in str(raised.value)


@pytest.mark.parametrize("address", ["mlflow.example:pass-word", "ftp://ann:pass-word@there"])
def test_a_wrong_address_of_mlflow_is_named_and_not_shown(address, monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_MLFLOW_TRACKING_URI", address)

    with pytest.raises(ConfigurationError) as raised:
        load()

    assert "OVERNIGHT_MLFLOW_TRACKING_URI: expected the address of a server" in str(raised.value)
    assert "pass-word" not in str(raised.value)


def test_the_address_of_mlflow_shows_in_no_print(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_MLFLOW_TRACKING_URI", "http://ann:pass-word@there:5000")

    settings = load()

    assert "pass-word" not in repr(settings)
    assert settings.mlflow_tracking_uri.get_secret_value() == "http://ann:pass-word@there:5000"


@pytest.mark.parametrize("wrong", ["planted-and-no-colon", ":planted", "planted:"])
def test_a_wrong_secret_is_named_and_not_repeated(wrong, monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    monkeypatch.setenv("OVERNIGHT_PREFECT_AUTH", wrong)

    with pytest.raises(ConfigurationError, match="PREFECT_AUTH: expected user:password") as raised:
        load()

    assert "planted" not in str(raised.value)
