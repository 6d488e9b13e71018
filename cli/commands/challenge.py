"""`overnight challenge`: a version tried on live traffic, beside the champion."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import Model, RequiredReason


def challenge(
    model: Model,
    version: Annotated[
        str | None, typer.Argument(help="The version that challenges; none with --stop.")
    ] = None,
    *,
    shadow: Annotated[
        bool | None,
        typer.Option(
            "--shadow/--canary",
            help="Answer as well, never to be returned; or answer a share of the clients.",
        ),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the challenge that runs.")] = False,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Of the requests in shadow, else of the clients.")
    ] = 0.1,
    maximum_error_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of its requests that it may fail to answer.")
    ] = 0.01,
    maximum_disagreement_share: Annotated[
        float, typer.Option(min=0, max=1, help="Of its answers that may be other ones.")
    ] = 0.05,
    maximum_slowdown: Annotated[
        float, typer.Option(min=1, help="Times the champion's CPU time an answer may take.")
    ] = 2.0,
    minimum_requests: Annotated[
        int, typer.Option(min=1, help="Before so many nothing is a reason to withdraw it.")
    ] = 200,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve it first, without promoting it.")
    ] = False,
    reason: RequiredReason,
) -> None:
    """Let a version challenge the champion on live traffic, or stop the one that does.

    Serving withdraws it by itself when it fails, lags or disagrees too often. Ends with 4 when
    there was nothing to stop, and 3 when no replica could load it.

    Examples:

        overnight challenge digits 20261122T020000-0123456789ab --shadow --reason "new optimiser"

        overnight challenge digits 20261122T020000-0123456789ab --canary --approve --reason "good"

        overnight challenge digits --stop --reason "seen enough"
    """
    from overnight.cli.runs import start

    if stop:
        if version is not None or shadow is not None:
            raise typer.BadParameter("a challenge is stopped without version and mode")
        start.run("challenge", model, {"action": "stop"}, reason=reason, signed=("action",))
    if version is None or shadow is None:
        raise typer.BadParameter("expected a version and --shadow or --canary, or else --stop")
    if share == 0:
        raise typer.BadParameter("expected more than 0", param_hint="--share")
    chosen = {
        "action": "start",
        "version": version,
        "mode": "shadow" if shadow else "canary",
        "share": share,
        "maximum_error_share": maximum_error_share,
        "maximum_disagreement_share": maximum_disagreement_share,
        "maximum_slowdown": maximum_slowdown,
        "minimum_requests": minimum_requests,
        "approve": approve,
    }
    start.run("challenge", model, chosen, reason=reason, signed=tuple(chosen))
