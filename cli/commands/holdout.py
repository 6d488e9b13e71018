"""`overnight holdout`: which rows judge a model's versions, and their renewal."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model, Reason


def holdout(
    model: Model,
    *,
    renew: Annotated[
        bool, typer.Option("--renew", help="Add a set that judges from now on.")
    ] = False,
    rows: Annotated[
        int | None,
        typer.Option(min=1, help="With --renew: so many rows that the champion never learned."),
    ] = None,
    file: Annotated[
        Path | None,
        typer.Option("--from", help="With --renew: a file of rows, as the source reads it."),
    ] = None,
    both_for: Annotated[
        int, typer.Option(min=1, help="Days in which the set before judges as well.")
    ] = 7,
    reason: Reason = "",
    as_json: AsJson = False,
) -> None:
    """The sets of a frozen holdout, and which of them judge; with --renew, a new one.

    The rows of every set are kept out of training for good. While two sets judge, every gate must
    hold on both; later the older one stays in the table. The renewal is recorded and signed. Exits
    with 3 when the rows cannot judge.

    Examples:

        overnight holdout wine

        overnight holdout wine --renew --rows 2000 --both-for 7 --reason "the new bottling line"

        overnight holdout wine --renew --from judged-by-hand.csv --reason "labelled by two people"
    """
    from overnight.cli.actions import holdout as holdout_action

    if not renew:
        if rows is not None or file is not None:
            raise typer.BadParameter("--rows and --from go with --renew")
        holdout_action.show(model, as_json=as_json)
        return
    if (rows is None) == (file is None):
        raise typer.BadParameter("name either --rows N or --from FILE")
    if not reason:
        raise typer.BadParameter('say why, for the record: --reason "…"')
    holdout_action.renew(model, rows=rows, file=file, days=both_for, reason=reason)
