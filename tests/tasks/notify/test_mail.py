"""Mail is handed to a real SMTP server, encrypted where that is set, with no foreign header."""

import email
import email.policy
import ssl
from contextlib import contextmanager

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, LoginPassword

from overnight.infra.stack.ports import free_port
from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.mail import Mail, compose
from overnight.tasks.notify.message import Link, Message
from tests.support.certificates import write_authority

HOSTILE = '</pre><script>alert(1)</script>\r\nBcc: evil@example.org\x1b[31m "quoted" <b>'
MESSAGE = Message(
    "refused",
    "digits: retrain ended Refused",
    reason="accuracy 0.91, expected at least 0.95",
    figures=(("run", "retrain-digits"),),
    to_do="Read the card of the run.",
    command="overnight show digits",
    links=(Link("This run", "http://127.0.0.1:4200/v2/runs/flow-run/1"),),
)


class Mailbox:
    """Keeps what comes; answers with `answers` first."""

    def __init__(self, *answers: str, refused: str = "") -> None:
        self.answers, self.refused, self.mails, self.receivers = list(answers), refused, [], []

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address == self.refused:
            return "550 no such mailbox"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session, envelope):
        if self.answers:
            return self.answers.pop(0)
        self.mails.append(email.message_from_bytes(envelope.content, policy=email.policy.default))
        self.receivers.append(envelope.rcpt_tos)
        return "250 OK"


@contextmanager
def smtp_server(mailbox: Mailbox, **options):
    controller = Controller(mailbox, hostname="127.0.0.1", port=free_port(), **options)
    controller.start()
    try:
        yield controller
    finally:
        controller.stop()


def mail(server, **changed) -> Mail:
    values = {
        "host": "127.0.0.1",
        "port": server.port,
        "sender": "overnight@example.org",
        "receivers": ("ann@example.org", "bob@example.org"),
        "security": "none",
        "pauses_seconds": (0, 0),
        "timeout_seconds": 5.0,
    }
    return Mail(**values | changed)


def test_everybody_gets_text_and_html():
    mailbox = Mailbox()
    with smtp_server(mailbox) as server:
        mail(server).send(MESSAGE)

    (received,), (receivers,) = mailbox.mails, mailbox.receivers
    assert receivers == ["ann@example.org", "bob@example.org"]
    assert received["Subject"] == "overnight: digits: retrain ended Refused"
    assert received["Auto-Submitted"] == "auto-generated"
    plain = received.get_body(("plain",)).get_content()
    html = received.get_body(("html",)).get_content()
    for part in (plain, html):
        assert "accuracy 0.91, expected at least 0.95" in part
        assert "overnight show digits" in part
        assert "/v2/runs/flow-run/1" in part


def test_a_hostile_reason_adds_no_header_and_no_markup():
    hostile = Message(
        "refused",
        HOSTILE,
        reason=HOSTILE,
        figures=((HOSTILE, HOSTILE),),
        to_do=HOSTILE,
        command=HOSTILE,
        links=(Link("x", "javascript:alert(1)"), Link(HOSTILE, 'http://x/"><script>')),
        body=HOSTILE,
    )
    mailbox = Mailbox()
    with smtp_server(mailbox) as server:
        mail(server).send(hostile)

    (received,) = mailbox.mails
    assert received["Bcc"] is None
    assert "evil@example.org" in received["Subject"]
    assert mailbox.receivers == [["ann@example.org", "bob@example.org"]]
    html = received.get_body(("html",)).get_content()
    assert "<script" not in html
    assert "<b>" not in html.replace("<p><b>", "")
    assert "javascript:" not in html
    assert "\x1b" not in html + received.get_body(("plain",)).get_content()


def test_tries_of_one_message_are_one_mail_by_their_identity():
    first, second = (
        compose(MESSAGE, sender="a@example.org", receivers=["b@example.org"]) for _ in range(2)
    )

    assert first["Message-ID"] == second["Message-ID"] == f"<{MESSAGE.id}@example.org>"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return write_authority(tmp_path_factory.mktemp("certificates"))


def context_of(served) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(served)
    return context


def login(server, session, envelope, mechanism, data) -> AuthResult:
    given = (data.login, data.password) if isinstance(data, LoginPassword) else None
    return AuthResult(success=given == (b"ann", b"right"), handled=False)


def test_starttls_and_login(certificate, monkeypatch):
    own, served = certificate
    monkeypatch.setenv("SSL_CERT_FILE", str(own))
    mailbox = Mailbox()
    options = {
        "tls_context": context_of(served),
        "require_starttls": True,
        "authenticator": login,
        "auth_required": True,
    }
    with smtp_server(mailbox, **options) as server:
        mail(server, security="starttls", user="ann", password="right").send(MESSAGE)
        with pytest.raises(NotDelivered, match=r"NOTIFY_SMTP_USER and its password \(535\)"):
            mail(server, security="starttls", user="ann", password="very-wrong").send(MESSAGE)

    assert len(mailbox.mails) == 1


def test_a_certificate_of_nobody_we_trust_gets_no_password(certificate):
    mailbox = Mailbox()
    with (
        smtp_server(mailbox, tls_context=context_of(certificate[1])) as server,
        pytest.raises(NotDelivered, match="no trusted TLS") as error,
    ):
        mail(server, security="starttls", user="ann", password="right").send(MESSAGE)

    assert error.value.is_final
    assert mailbox.mails == []


def test_a_server_without_starttls_gets_nothing():
    mailbox = Mailbox()
    with smtp_server(mailbox) as server, pytest.raises(NotDelivered, match="offers no STARTTLS"):
        mail(server, security="starttls").send(MESSAGE)

    assert mailbox.mails == []


def test_a_server_that_is_busy_is_tried_again():
    mailbox = Mailbox("451 later")
    with smtp_server(mailbox) as server:
        mail(server).send(MESSAGE)

    assert len(mailbox.mails) == 1


def test_a_refusal_is_final_and_says_why():
    mailbox = Mailbox("554 spam")
    with smtp_server(mailbox) as server, pytest.raises(NotDelivered, match="554 spam") as error:
        mail(server).send(MESSAGE)

    assert error.value.is_final


def test_one_wrong_receiver_is_named_and_the_other_gets_one_mail():
    mailbox = Mailbox(refused="bob@example.org")
    with (
        smtp_server(mailbox) as server,
        pytest.raises(NotDelivered, match=r"refused for bob@example.org \(550\)"),
    ):
        mail(server).send(MESSAGE)

    assert mailbox.receivers == [["ann@example.org"]]


def test_a_server_that_is_away_is_named():
    class Nothing:
        port = free_port()

    with pytest.raises(NotDelivered, match=r"does not answer.*OVERNIGHT_NOTIFY_SMTP_HOST"):
        mail(Nothing, password="very-secret", user="ann").send(MESSAGE)
    assert "very-secret" not in repr(mail(Nothing, password="very-secret"))
