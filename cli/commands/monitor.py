"""`overnight monitor`: watch what a model answered, now."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model, Wait


def monitor(
    model: Model,
    *,
    last: Annotated[
        bool, typer.Option("--last", help="Print the newest record; run nothing.")
    ] = False,
    wait: Wait = True,
    as_json: AsJson = False,
) -> None:
    """Measure live quality and drift of what came since the last run, and print the record.

    It also says what follows: nothing, a retraining, a rollback, or that a person has to act. Exits
    with 0 when the model is healthy, 3 when something alarms, and 4 when nothing came, or with
    --last when there is no record yet.

    Examples:

        overnight monitor digits

        overnight monitor digits --last --json | jq '.alarms[].message'
    """
    from overnight.cli.actions.monitoring import monitor as monitor_action

    monitor_action.run(model, last=last, wait=wait, as_json=as_json)
