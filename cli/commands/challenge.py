"""`overnight challenge`: a shadow or canary challenge on live traffic."""

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
            help="Compare its answers, never return them; or answer a share of the clients.",
        ),
    ] = None,
    stop: Annotated[bool, typer.Option("--stop", help="End the challenge that runs.")] = False,
    share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of requests (shadow) or clients (canary).")
    ] = 0.1,
    maximum_error_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of its requests that may fail.")
    ] = 0.01,
    maximum_disagreement_share: Annotated[
        float, typer.Option(min=0, max=1, help="Share of its answers that may differ.")
    ] = 0.05,
    maximum_slowdown: Annotated[
        float, typer.Option(min=1, help="CPU time of an answer, as a multiple of the champion's.")
    ] = 2.0,
    minimum_requests: Annotated[
        int, typer.Option(min=1, help="Requests before it can be withdrawn.")
    ] = 200,
    approve: Annotated[
        bool, typer.Option("--approve", help="Approve it first, without promoting it.")
    ] = False,
    reason: RequiredReason,
) -> None:
    """Start a version as challenger of the champion on live traffic, or stop the challenge.

    Serving withdraws it by itself when it fails, is slow or disagrees too often. Exits with 4 when
    there was nothing to stop, and with 3 when no replica could load it.

    Examples:

        overnight challenge digits 20261122T020000-0123456789ab --shadow --reason "new optimiser"

        overnight challenge digits 20261122T020000-0123456789ab --canary --approve --reason "good"

        overnight challenge digits --stop --reason "seen enough"
    """
    from overnight.cli.runs import request_checks, start

    if stop:
        if version is not None or shadow is not None:
            raise typer.BadParameter("a challenge is stopped without version and mode")
        start.run("challenge", model, {"action": "stop"}, reason=reason, signed=("action",))
    if version is None or shadow is None:
        raise typer.BadParameter("expected a version and --shadow or --canary, or else --stop")
    # The option's minimum of 0 is inclusive.
    if share == 0:
        raise typer.BadParameter("expected more than 0", param_hint="--share")
    parameters = {
        "action": "start",
        "version": request_checks.version(model, version),
        "mode": "shadow" if shadow else "canary",
        "share": share,
        "maximum_error_share": maximum_error_share,
        "maximum_disagreement_share": maximum_disagreement_share,
        "maximum_slowdown": maximum_slowdown,
        "minimum_requests": minimum_requests,
        "approve": approve,
    }
    start.run("challenge", model, parameters, reason=reason, signed=tuple(parameters))
