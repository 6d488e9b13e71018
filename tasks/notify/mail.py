"""Mail: the message in plain text and HTML, by one SMTP server."""

import smtplib
import ssl
from collections.abc import Sequence
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Literal

from overnight.store.printable import printable
from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.delivery import PAUSES_SECONDS, with_retries
from overnight.tasks.notify.message import Message, as_html, text

Security = Literal["starttls", "tls", "none"]


@dataclass(frozen=True)
class Mail:
    """Receivers, and the server that takes mail for them.

    `security`: `starttls` demands encryption before anything else is sent, `tls` encrypts from the
    first byte, `none` sends in the clear. Certificates are verified as everywhere in Python
    (`SSL_CERT_FILE`).
    """

    host: str
    port: int
    sender: str
    receivers: tuple[str, ...]
    security: Security = "starttls"
    user: str = ""
    password: str = field(default="", repr=False)
    timeout_seconds: float = 10.0
    pauses_seconds: Sequence[float] = PAUSES_SECONDS

    @property
    def name(self) -> str:
        return f"mail by {self.host}"

    def send(self, message: Message) -> None:
        """Hand the mail to the server; tried again after connection errors and answers 4xx.

        Raises:
            NotDelivered: the server did not take it for every receiver.
        """
        mail = compose(message, sender=self.sender, receivers=self.receivers)
        with_retries(lambda: self._hand_over(mail), self.pauses_seconds)

    def _hand_over(self, mail: EmailMessage) -> None:
        try:
            with self._connect() as server:
                if self.security == "starttls":
                    server.starttls(context=ssl.create_default_context())
                if self.user:
                    server.login(self.user, self.password)
                refused = server.send_message(mail, self.sender, list(self.receivers))
        except smtplib.SMTPNotSupportedError:
            why = "offers no STARTTLS; set OVERNIGHT_NOTIFY_SMTP_SECURITY to what it offers"
            raise NotDelivered(f"{self.host} {why}", is_final=True) from None
        except smtplib.SMTPAuthenticationError as error:
            why = "refused OVERNIGHT_NOTIFY_SMTP_USER and its password"
            raise NotDelivered(f"{self.host} {why} ({error.smtp_code})", is_final=True) from None
        except smtplib.SMTPRecipientsRefused as error:
            raise _partly_refused(error.recipients) from None
        except smtplib.SMTPResponseException as error:
            is_final = error.smtp_code >= 500
            raise NotDelivered(
                f"{self.host} answered {_answer(error)}", is_final=is_final
            ) from None
        except ssl.SSLError as error:
            why = f"no trusted TLS with {self.host}: {error.reason}; check the port, "
            why += "OVERNIGHT_NOTIFY_SMTP_SECURITY and SSL_CERT_FILE"
            raise NotDelivered(why, is_final=True) from None
        except (smtplib.SMTPException, OSError) as error:
            why = f"{self.host}:{self.port} does not answer ({type(error).__name__}); check "
            why += "OVERNIGHT_NOTIFY_SMTP_HOST and its port"
            raise NotDelivered(why, is_final=False) from None
        if refused:
            # The others have it: another try would send it to them again.
            raise _partly_refused(refused)

    def _connect(self) -> smtplib.SMTP:
        if self.security == "tls":
            return smtplib.SMTP_SSL(
                self.host,
                self.port,
                timeout=self.timeout_seconds,
                context=ssl.create_default_context(),
            )
        return smtplib.SMTP(self.host, self.port, timeout=self.timeout_seconds)


def compose(message: Message, *, sender: str, receivers: Sequence[str]) -> EmailMessage:
    """The mail of a message; repeated tries are one mail, by its `Message-ID`."""
    mail = EmailMessage()
    domain = Address(addr_spec=sender).domain or "localhost"
    mail["Subject"] = f"overnight: {message.subject}"
    mail["From"] = sender
    mail["To"] = ", ".join(receivers)
    mail["Date"] = format_datetime(message.at)
    mail["Message-ID"] = f"<{message.id}@{domain}>"
    # No out-of-office reply answers these (RFC 3834).
    mail["Auto-Submitted"] = "auto-generated"
    mail.set_content(text(message))
    mail.add_alternative(as_html(message), subtype="html")
    return mail


def _answer(error: smtplib.SMTPResponseException) -> str:
    answer = error.smtp_error
    shown = answer.decode(errors="replace") if isinstance(answer, bytes) else str(answer)
    return f"{error.smtp_code} {printable(shown)[:200]}"


def _partly_refused(refused: dict[str, tuple[int, bytes]]) -> NotDelivered:
    codes = "; ".join(f"{receiver} ({code})" for receiver, (code, _) in sorted(refused.items()))
    return NotDelivered(f"refused for {codes}; check OVERNIGHT_NOTIFY_MAIL_TO", is_final=True)
