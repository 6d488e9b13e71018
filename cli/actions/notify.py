"""`overnight notify`: the channels that are set, and a test of each."""

import sys
from contextlib import AbstractContextManager, nullcontext

from overnight.flows.run.channels import channels
from overnight.infra.settings import Settings, load
from overnight.store.errors import ConfigurationError
from overnight.tasks.notify.delivery import ChannelResult, deliver
from overnight.tasks.notify.occasions import of_test

NO_CHANNEL = (
    "no channel is set: set OVERNIGHT_NOTIFY_WEBHOOK_URL, OVERNIGHT_NOTIFY_MAIL_TO or "
    "OVERNIGHT_NOTIFY_BLOCKS, then `overnight up` (on a stack that runs `overnight down` first, "
    "because its worker has the settings it was started with)"
)


def run(*, test: bool) -> None:
    """Print the channels and the kinds, or send a test message by each channel.

    Raises:
        ConfigurationError: a test was requested, and there is no channel.
        SystemExit: with 1, when a channel did not take the message.
    """
    settings = load()
    if not test:
        for channel in channels(settings):
            print(f"channel: {channel.name}")
        if not settings.notifies:
            print(NO_CHANNEL)
        print(f"notified of: {', '.join(settings.notify_kinds) or 'nothing'}")
        return
    if not settings.notifies:
        raise ConfigurationError(NO_CHANNEL)
    results = _tried(settings)
    for result in results:
        print(result)
    sys.exit(1 if any(result.problem for result in results) else 0)


def _tried(settings: Settings) -> tuple[ChannelResult, ...]:
    with _prefect_of(settings):
        return deliver(of_test(), channels(settings))


def _prefect_of(settings: Settings) -> AbstractContextManager[object]:
    """Where blocks are set, Prefect's client with the address and password of these settings."""
    if not settings.notify_blocks:
        return nullcontext()
    # Takes seconds to import.
    from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

    auth = settings.prefect_auth.get_secret_value()
    updates = {PREFECT_API_URL: settings.api_url}
    return temporary_settings(updates | ({PREFECT_API_AUTH_STRING: auth} if auth else {}))
