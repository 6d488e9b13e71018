"""Webhooks: the message as JSON, signed with a shared secret, sent until it is accepted.

The header `X-Overnight-Signature` is `t=<seconds since 1970>,v1=<hex>`, where hex is HMAC-SHA256
(RFC 2104) with the secret over the decimal digits of t, a full stop, and the exact bytes of the
body. A receiver refuses a t that is more than five minutes away from its own clock, so that nobody
can send an old message again.
"""

import hashlib
import hmac
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from urllib.parse import urlsplit

import httpx

from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.delivery import PAUSES_SECONDS, with_retries
from overnight.tasks.notify.message import Message, document

SIGNATURE = "X-Overnight-Signature"
DELIVERY = "X-Overnight-Delivery"
_LONGEST_WAIT_SECONDS = 30.0
_TOO_MANY, _REQUEST_TIMEOUT = 429, 408


def signature(secret: str, body: bytes, *, at: int) -> str:
    """The value of the header for a body that is sent at a second since 1970."""
    signed = hmac.new(secret.encode(), f"{at}.".encode() + body, hashlib.sha256)
    return f"t={at},v1={signed.hexdigest()}"


@dataclass(frozen=True)
class Webhook:
    """A receiver of JSON; its address may be a secret and is never in an error, but for the host.

    `timeout_seconds` bounds each step of a try: to connect, to send, and to get the head of the
    answer. The body of an answer is not read.
    """

    url: str = field(repr=False)
    secret: str = field(repr=False)
    timeout_seconds: float = 10.0
    pauses_seconds: Sequence[float] = PAUSES_SECONDS

    @property
    def name(self) -> str:
        return f"webhook at {urlsplit(self.url).hostname}"

    def send(self, message: Message) -> None:
        """Post the message; tried again after connection errors, time-outs, 408, 429 and 5xx.

        Raises:
            NotDelivered: it was refused, redirected, or not accepted in time.
        """
        body = json.dumps(document(message), ensure_ascii=False).encode()
        with_retries(lambda: self._post(body, message.id), self.pauses_seconds)

    def _post(self, body: bytes, delivery: str) -> None:
        # Signed anew for each try: the receiver compares the time with its clock.
        headers = {
            "Content-Type": "application/json",
            "User-Agent": "overnight",
            DELIVERY: delivery,
            SIGNATURE: signature(self.secret, body, at=int(time.time())),
        }
        try:
            with httpx.stream(
                "POST",
                self.url,
                content=body,
                headers=headers,
                timeout=self.timeout_seconds,
                # Where a redirect leads was chosen by nobody here, and the body would go there.
                follow_redirects=False,
            ) as response:
                self._check(response)
        except httpx.TimeoutException:
            why = f"no answer within {self.timeout_seconds:g} s"
            raise NotDelivered(f"{why}; is the receiver up?", is_final=False) from None
        except httpx.HTTPError as error:
            # Its text may have the address in it.
            why = f"{type(error).__name__}; check the address and that the receiver is up"
            raise NotDelivered(why, is_final=False) from None

    def _check(self, response: httpx.Response) -> None:
        status = response.status_code
        if response.is_success:
            return
        if response.is_redirect or 300 <= status < 400:
            raise NotDelivered(
                f"answered {status}: redirects are not followed; set OVERNIGHT_NOTIFY_WEBHOOK_URL "
                "to the final address",
                is_final=True,
            )
        again = status >= 500 or status in {_TOO_MANY, _REQUEST_TIMEOUT}
        raise NotDelivered(
            f"answered {status}; "
            + ("it may be overloaded" if again else "does it know the secret and this format?"),
            is_final=not again,
            retry_after_seconds=_retry_after(response) if again else 0,
        )


def _retry_after(response: httpx.Response) -> float:
    text = response.headers.get("retry-after", "")
    # Its other form, a date, is not worth a parser: the pauses do.
    return min(float(text), _LONGEST_WAIT_SECONDS) if text.isascii() and text.isdigit() else 0.0
