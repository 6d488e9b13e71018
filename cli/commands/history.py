"""Commands that read what happened: runs, their logs, refusals, and the page."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model, Watch

OneModel = Annotated[str | None, typer.Argument(help="Only of this model; of all if left out.")]
Flow = Annotated[
    str | None, typer.Option(metavar="FLOW", help="Only of this flow, such as retrain or promote.")
]


def runs(
    model: OneModel = None,
    *,
    flow: Flow = None,
    limit: Annotated[int, typer.Option(min=1, max=200, help="At most so many.")] = 20,
    watch: Watch = False,
    as_json: AsJson = False,
) -> None:
    """The latest runs of the pipeline: when they began (UTC), their outcome and duration.

    `overnight logs` takes the ids, or the beginning of one. Exits with 4 when no run has begun.

    Examples:

        overnight runs

        overnight runs digits --flow retrain --limit 5

        overnight runs --json | jq -r '.[] | select(.state == "Refused") | .message'
    """
    from overnight.cli.actions.history import runs as runs_action

    if watch and as_json:
        raise typer.BadParameter("--watch draws tables; leave out --json")
    runs_action.run(model, flow=flow, limit=limit, watching=watch, as_json=as_json)


def logs(
    run: Annotated[
        str,
        typer.Argument(
            metavar="RUN|MODEL",
            help="The id or name of a run, or the beginning of its id; or a model, for its last.",
        ),
    ],
    *,
    flow: Flow = None,
    follow: Annotated[
        bool, typer.Option("--follow", help="Continue until the run has ended.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The log of a run, each line with its time (UTC) and step, and the outcome below it.

    Examples:

        overnight logs digits

        overnight logs digits --flow retrain --follow

        overnight logs 0199c7d2-3f1a
    """
    from overnight.cli.actions.history import logs as logs_action

    if follow and as_json:
        raise typer.BadParameter("--follow prints lines; leave out --json")
    logs_action.run(run, flow=flow, follow=follow, as_json=as_json)


def refusals(
    model: Model,
    candidate: Annotated[
        str | None,
        typer.Argument(help="The beginning of a candidate's fingerprint, for all its gates."),
    ] = None,
    *,
    as_json: AsJson = False,
) -> None:
    """The candidates that gates refused, newest first: when (UTC), and by which figures.

    A refused candidate is not published, so `overnight versions` does not have it. Exits with 4
    when there is none.

    Examples:

        overnight refusals digits

        overnight refusals digits 0123456789ab

        overnight refusals digits --json | jq -r '.[0].headline'
    """
    from overnight.cli.actions.history import refusals as refusals_action

    refusals_action.run(model, candidate, as_json=as_json)


def open_(
    model: OneModel = None,
    *,
    browse: Annotated[
        bool, typer.Option("--browser/--print", help="Open it, or only print its address.")
    ] = True,
) -> None:
    """Open the page of serving, or of one model on it, in a browser; prints its address.

    Where the output is no terminal, the address is printed only.

    Examples:

        overnight open

        overnight open digits --print
    """
    from overnight.cli.actions import open_page

    open_page.run(model, browse=browse)
