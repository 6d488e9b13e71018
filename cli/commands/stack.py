"""`overnight up` and `overnight down`."""

from typing import Annotated

import typer


def up(
    *,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train models that have no champion yet.")
    ] = True,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay; stop everything on Ctrl-C or SIGTERM.")
    ] = False,
) -> None:
    """Start the store, Prefect, a worker and serving; train models that have no champion yet.

    Running services are reused, and failed ones restarted: it is safe to run at any time.

    With OVERNIGHT_S3_ENDPOINT set your own store is used, with OVERNIGHT_PREFECT_API_URL your own
    Prefect server.

    Examples:

        overnight up

        overnight up --no-train

        OVERNIGHT_SERVING_PORT=9090 overnight up
    """
    from overnight.cli.actions import up as up_action

    up_action.run(train=train, foreground=foreground)


def down(
    *,
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long runs may continue before they are stopped.")
    ] = 60,
) -> None:
    """Stop everything gracefully: hold back new runs, wait for running ones, stop the services.

    Nothing is lost: state stays in .overnight/, and a stopped run is restarted by the next
    `overnight up`.

    Examples:

        overnight down

        overnight down --wait-seconds 0
    """
    from overnight.cli.actions import down as down_action

    down_action.run(wait_seconds=wait_seconds)
