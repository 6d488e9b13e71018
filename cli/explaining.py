"""`overnight why`: what changed since the champion was made, and what the next night would do."""

from typing import Annotated

import typer

from cli.parameters import AsJson, Model


def why(
    model: Model,
    *,
    epochs: Annotated[int | None, typer.Option(min=1, help="As if the run asked for it.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="As if the run asked for it.")
    ] = None,
    batch_rows: Annotated[
        int | None, typer.Option(min=1, help="As if the run asked for it.")
    ] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="As if the run asked for it.")] = None,
    as_json: AsJson = False,
) -> None:
    """What changed since the champion was made: data, holdout, settings, code and packages.

    Trains nothing and changes nothing. Ends with 0 when the next run would train or go on with
    something unfinished, and 4 when it would find nothing to do.

    Examples:

        overnight why digits

        overnight why digits --seed 7

        overnight why digits --json | jq '.axes[] | select(.changed)'
    """
    from cli import why_page

    changed = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    why_page.run(model, changed, as_json=as_json)
