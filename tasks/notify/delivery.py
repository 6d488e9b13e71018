"""Sends one message by several channels: what fails in one keeps nothing from the others."""

import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from overnight.store.printable import printable
from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.message import Message

# Between the tries of one channel: a receiver that restarts is back by then.
PAUSES_SECONDS = (1.0, 5.0, 20.0)


class Channel(Protocol):
    """One way to people."""

    @property
    def name(self) -> str:
        """How people call it, without secrets."""

    def send(self, message: Message) -> None:
        """Deliver the message.

        Raises:
            NotDelivered: it was not; says why, without secrets.
        """


@dataclass(frozen=True)
class ChannelResult:
    """What came of one channel; `problem` is empty where the message was accepted."""

    channel: str
    problem: str = ""

    def __str__(self) -> str:
        return f"{self.channel}: {self.problem or 'delivered'}"


def deliver(message: Message, channels: Iterable[Channel]) -> tuple[ChannelResult, ...]:
    """Send a message by each channel, and report what came of each; raises nothing."""
    return tuple(_sent(message, channel) for channel in channels)


def _sent(message: Message, channel: Channel) -> ChannelResult:
    try:
        channel.send(message)
    except NotDelivered as error:
        return ChannelResult(channel.name, str(error))
    # A channel of Prefect's runs code of others; the next channel must have its turn.
    except Exception as error:  # noqa: BLE001
        return ChannelResult(channel.name, f"{type(error).__name__}: {printable(str(error))[:300]}")
    return ChannelResult(channel.name)


def with_retries(
    attempt: Callable[[], None], pauses_seconds: Sequence[float] = PAUSES_SECONDS
) -> None:
    """Try until an attempt succeeds, fails for good, or there is no pause left.

    Raises:
        NotDelivered: of the last attempt.
    """
    for pause in (*pauses_seconds, None):
        try:
            attempt()
            return
        except NotDelivered as error:
            if error.is_final or pause is None:
                raise
            time.sleep(max(pause, error.retry_after_seconds))
