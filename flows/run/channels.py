"""The channels that the settings name: a webhook, mail, and Prefect's own notification blocks.

Prefect is imported only where a block is used, so that the command line starts without it.
"""

import inspect
from dataclasses import dataclass

from overnight.infra.settings import Settings
from overnight.tasks.errors import NotDelivered
from overnight.tasks.notify.delivery import Channel
from overnight.tasks.notify.mail import Mail
from overnight.tasks.notify.message import Message, text
from overnight.tasks.notify.webhook import Webhook


@dataclass(frozen=True)
class PrefectBlock:
    """A notification block of Prefect, by type and name, such as `slack-webhook/team`."""

    block: str

    @property
    def name(self) -> str:
        return f"block {self.block}"

    def send(self, message: Message) -> None:
        """Load the block from Prefect, and have it notify.

        Raises:
            NotDelivered: Prefect has no such block, or it failed; what it says may have its secrets
                in it and is not repeated.
        """
        from prefect.blocks.abstract import NotificationBlock
        from prefect.blocks.core import Block
        from prefect.utilities.asyncutils import run_coro_as_sync

        try:
            block = Block.load(self.block)
        except Exception as error:  # noqa: BLE001
            raise NotDelivered(
                f"Prefect gives no block {self.block} ({type(error).__name__}); make it in "
                "Prefect's UI under Blocks, or correct OVERNIGHT_NOTIFY_BLOCKS",
                is_final=True,
            ) from None
        if not isinstance(block, NotificationBlock):
            raise NotDelivered(
                f"{self.block} is a {type(block).__name__}, which notifies nobody; expected a "
                "notification block such as slack-webhook",
                is_final=True,
            )
        try:
            with block.raise_on_failure():
                sent = block.notify(body=text(message), subject=f"overnight: {message.subject}")
                # Those of Prefect are run by the call; those of others may be plain coroutines.
                if inspect.isawaitable(sent):
                    run_coro_as_sync(sent)
        except Exception as error:  # noqa: BLE001
            raise NotDelivered(
                f"{self.block} failed ({type(error).__name__}); try it in Prefect's UI",
                is_final=True,
            ) from None


def channels(settings: Settings, *, blocks: bool = True) -> list[Channel]:
    """Every channel that is set, or all but Prefect's blocks."""
    chosen: list[Channel] = []
    seconds = settings.notify_seconds
    if url := settings.notify_webhook_url.get_secret_value():
        secret = settings.notify_webhook_secret.get_secret_value()
        chosen.append(Webhook(url, secret, timeout_seconds=seconds))
    if settings.notify_mail_to:
        chosen.append(
            Mail(
                host=settings.notify_smtp_host,
                port=settings.notify_smtp_port,
                sender=settings.notify_mail_from,
                receivers=settings.notify_mail_to,
                security=settings.notify_smtp_security,
                user=settings.notify_smtp_user,
                password=settings.notify_smtp_password.get_secret_value(),
                timeout_seconds=seconds,
            )
        )
    return chosen + [PrefectBlock(block) for block in settings.notify_blocks if blocks]
