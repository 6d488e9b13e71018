"""`overnight up` and `overnight down`."""

from typing import Annotated

import typer


def up(
    *,
    train: Annotated[
        bool, typer.Option("--train/--no-train", help="Train models that have no champion yet.")
    ] = True,
    foreground: Annotated[
        bool, typer.Option("--foreground", help="Stay, and stop everything on Ctrl-C or SIGTERM.")
    ] = False,
) -> None:
    """Start the store, Prefect, a worker and serving; train what has no champion yet.

    What runs already is reused, and what died is started again: it is safe to run at any time.

    With OVERNIGHT_S3_ENDPOINT set your own store is used, with OVERNIGHT_PREFECT_API_URL your own
    Prefect server.

    Examples:

        overnight up

        overnight up --no-train

        OVERNIGHT_SERVING_PORT=9090 overnight up
    """
    from overnight.cli.actions import up as bringing_up

    bringing_up.run(train=train, foreground=foreground)


def down(
    *,
    wait_seconds: Annotated[
        float, typer.Option(min=0, help="How long runs may go on before they are cut off.")
    ] = 60,
) -> None:
    """Stop everything, gently: no new runs, running ones get their time, then the services.

    Nothing is lost: state stays in .overnight/, and a run that was cut off starts again with the
    next `overnight up`.

    Examples:

        overnight down

        overnight down --wait-seconds 0
    """
    from overnight.cli.actions import down as taking_down

    taking_down.run(wait_seconds=wait_seconds)
