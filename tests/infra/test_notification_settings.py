"""Each setting of notifications is checked, and no error repeats a secret."""

import pytest

from overnight.infra import notification_formats
from overnight.infra.notification_formats import DEFAULT_KINDS, is_private_host
from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError
from overnight.tasks.notify import message

SECRET = "0123456789abcdef-secret"
WEBHOOK = {"WEBHOOK_URL": "https://hooks.example/x", "WEBHOOK_SECRET": SECRET}
MAIL = {"MAIL_TO": "ann@example.org", "MAIL_FROM": "o@example.org", "SMTP_HOST": "mail.example"}


@pytest.fixture
def given(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))

    def give(**values: str):
        for name, value in values.items():
            monkeypatch.setenv(f"OVERNIGHT_NOTIFY_{name}", value)
        return load()

    return give


def test_by_default_nobody_is_notified(given):
    settings = given()

    assert not settings.notifies
    assert settings.notify_kinds == DEFAULT_KINDS
    assert "superseded" not in settings.notify_kinds


def test_each_channel_alone_is_enough(given, monkeypatch):
    assert given(**WEBHOOK).notifies
    for name in WEBHOOK:
        monkeypatch.delenv(f"OVERNIGHT_NOTIFY_{name}")
    assert given(**MAIL).notifies
    for name in MAIL:
        monkeypatch.delenv(f"OVERNIGHT_NOTIFY_{name}")
    assert given(BLOCKS="slack-webhook/team, opsgenie-webhook/night-shift").notify_blocks == (
        "slack-webhook/team",
        "opsgenie-webhook/night-shift",
    )


@pytest.mark.parametrize(
    ("values", "named", "expected"),
    [
        ({"WEBHOOK_URL": "hooks.example"}, "WEBHOOK_URL", "an address such as"),
        ({"WEBHOOK_URL": "ftp://hooks.example/x"}, "WEBHOOK_URL", "an address such as"),
        ({"WEBHOOK_URL": "https://h.example:99999/x"}, "WEBHOOK_URL", "an address such as"),
        ({"WEBHOOK_URL": "http://hooks.example/x"}, "WEBHOOK_URL", "expected https://"),
        ({"WEBHOOK_URL": "http://8.8.8.8/x"}, "WEBHOOK_URL", "expected https://"),
        ({"WEBHOOK_URL": "https://a:b@hooks.example"}, "WEBHOOK_URL", "without user"),
        ({"WEBHOOK_URL": "https://hooks.example/#x"}, "WEBHOOK_URL", "without a fragment"),
        ({"WEBHOOK_URL": "https://hooks.example/x"}, "WEBHOOK_SECRET", "openssl rand"),
        ({**WEBHOOK, "WEBHOOK_SECRET": "short"}, "WEBHOOK_SECRET", "at least 16"),
        ({**MAIL, "MAIL_TO": "ann"}, "MAIL_TO", "a mail address"),
        ({**MAIL, "MAIL_TO": "ann@example.org,@"}, "MAIL_TO", "a mail address"),
        ({**MAIL, "MAIL_FROM": "x@y\r\nBcc: z@y"}, "MAIL_FROM", "a mail address"),
        ({**MAIL, "MAIL_FROM": ""}, "MAIL_FROM", "expected a value with"),
        ({**MAIL, "SMTP_HOST": ""}, "SMTP_HOST", "expected a value with"),
        ({**MAIL, "SMTP_HOST": "smtp://mail.example"}, "SMTP_HOST", "without a scheme"),
        ({**MAIL, "SMTP_PORT": "0"}, "SMTP_PORT", "greater than or equal to 1"),
        ({**MAIL, "SMTP_SECURITY": "ssl"}, "SMTP_SECURITY", "'starttls'"),
        ({**MAIL, "SMTP_SECURITY": "none"}, "SMTP_PASSWORD", "outside of your own network"),
        ({**MAIL, "SMTP_USER": "ann"}, "SMTP_PASSWORD", "or neither"),
        ({**MAIL, "SMTP_PASSWORD": SECRET}, "SMTP_PASSWORD", "or neither"),
        ({"BLOCKS": "slack"}, "BLOCKS", "TYPE/NAME"),
        ({"BLOCKS": "slack-webhook/../x"}, "BLOCKS", "TYPE/NAME"),
        ({"KINDS": "refused,everything"}, "KINDS", "'everything' is none"),
        ({"SECONDS": "0"}, "SECONDS", "greater than 0"),
        ({"LATE_SECONDS": "5"}, "LATE_SECONDS", "greater than or equal to 60"),
    ],
)
def test_what_is_wrong_is_named_with_its_remedy(given, values, named, expected):
    with pytest.raises(ConfigurationError) as error:
        given(**values)

    assert f"OVERNIGHT_NOTIFY_{named}:" in str(error.value)
    assert expected in str(error.value)
    assert SECRET not in str(error.value)
    assert "hooks.example" not in str(error.value)


def test_a_password_crosses_no_network_in_the_clear(given):
    with pytest.raises(ConfigurationError, match="where a password is sent"):
        given(
            **{**MAIL, "SMTP_HOST": "10.0.0.5"},
            SMTP_SECURITY="none", SMTP_USER="ann", SMTP_PASSWORD=SECRET,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("AT", "7", "a time of day"), ("AT", "24:00", "a time of day"),
     ("TIME_ZONE", "Mars/Base", "IANA name"), ("TIME_ZONE", "../etc/passwd", "IANA name")],
)  # fmt: skip
def test_a_wrong_time_of_the_summary_is_named(given, monkeypatch, name, value, expected):
    monkeypatch.setenv(f"OVERNIGHT_SUMMARY_{name}", value)

    with pytest.raises(ConfigurationError, match=f"SUMMARY_{name}: expected .*{expected}"):
        given()


@pytest.mark.parametrize(
    ("host", "private"),
    [("127.0.0.1", True), ("localhost", True), ("10.1.2.3", True), ("fd00::1", True),
     ("receiver", True), ("receiver.svc", True), ("hooks.internal", True),
     ("8.8.8.8", False), ("hooks.example", False), ("localhost.example", False)],
)  # fmt: skip
def test_which_hosts_are_ones_own(host, private):
    assert is_private_host(host) is private


def test_settings_know_every_kind_of_message() -> None:
    # Tasks do not read settings, so each has its own list; a trial is sent to every channel.
    assert {*notification_formats.KINDS, "test"} == set(message.KINDS)
