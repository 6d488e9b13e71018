"""`overnight summary` and `overnight notify`."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson


def summary(*, as_json: AsJson = False) -> None:
    """All models at a glance: last outcomes, quality, what waits for you, what runs next.

    The same text is made every morning as a card and sent by the channels of notifications
    (OVERNIGHT_SUMMARY_AT). Exits with 0 also when a model needs you, and with 1 when the store or
    Prefect does not answer; what is known is printed all the same.

    Examples:

        overnight summary

        overnight summary --json | jq '.models[] | select(.needs_a_person)'
    """
    from overnight.cli.actions import summary as summary_action

    summary_action.run(as_json=as_json)


def notify(
    *,
    test: Annotated[
        bool, typer.Option("--test", help="Send a test message by every channel that is set.")
    ] = False,
) -> None:
    """Show by which channels people are notified and of what, or try the channels.

    A stack that runs has the settings it was started with: `overnight down`, then `overnight up`,
    when they have changed. With --test it exits with 1 when a channel did not take the message, or
    when no channel is set.

    Examples:

        overnight notify

        overnight notify --test && overnight down && overnight up
    """
    from overnight.cli.actions import notify as notify_action

    notify_action.run(test=test)
