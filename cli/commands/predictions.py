"""`overnight predictions`: what was asked and answered, and the deletion of a client's rows."""

from datetime import datetime
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model


def predictions(
    model: Model,
    *,
    rows: Annotated[int, typer.Option(min=1, max=10_000, help="At most so many.")] = 20,
    since: Annotated[
        datetime | None,
        typer.Option(
            formats=["%Y-%m-%d", "%Y-%m-%dT%H:%M", "%Y-%m-%dT%H:%M:%S"],
            help="Only answers from then on (UTC).",
        ),
    ] = None,
    delete_client: Annotated[
        str | None,
        typer.Option("--delete-client", metavar="KEY", help="Delete all rows of this client."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="With --delete-client: do not ask.")] = False,
    as_json: AsJson = False,
) -> None:
    """The newest rows of a model's prediction log; with --delete-client, delete those of a client.

    Of probabilities the likeliest class is shown; --json has every output and input. Rows appear
    when the monitor has collected what serving recorded. Other engines read all of
    them as a Delta table: docs/monitoring/reading-the-log.md.

    A deletion covers the client's answers, the labels that it sent and all labels of its answers,
    under its key and under the digest of it. It collects what waits in the spool, shows how many
    rows there are, and asks. When it is done, no file in the bucket has them. Run it again a day
    later: a host that was cut off may have shipped more. Exits with 4 when there is nothing.

    Examples:

        overnight predictions digits --rows 5

        overnight predictions digits --since 2026-11-22T06:00 --json | jq '.[].version'

        overnight predictions digits --delete-client alice --yes
    """
    if delete_client is None:
        if yes:
            raise typer.BadParameter("--yes goes with --delete-client KEY")
        from overnight.cli.actions.predictions import newest_rows

        newest_rows.run(model, rows=rows, since=since, as_json=as_json)
        return
    if not delete_client.strip():
        raise typer.BadParameter("--delete-client: name the key of a client; it is empty")
    if since is not None:
        raise typer.BadParameter("--delete-client deletes all rows of a client; leave out --since")
    from overnight.cli.actions.predictions import delete_client as deletion

    deletion.run(model, delete_client, confirmed=yes, as_json=as_json)
