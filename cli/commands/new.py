"""`overnight new`: a model of your own."""

from typing import Annotated, Literal

import typer


def new(
    name: Annotated[str, typer.Argument(help="The name of the model: letters and digits.")],
    *,
    like: Annotated[
        Literal["digits", "sales"],
        typer.Option(
            help="The template: digits is a classifier, sales forecasts a number with an interval."
        ),
    ] = "digits",
) -> None:
    """Add a model: its folder, its deployments, and generated rows to try it with.

    The new model can be trained at once, on generated rows. Then edit its four files (source,
    schema, network, gates): docs/add-your-model.md goes through it in fifteen minutes.

    Examples:

        overnight new wine --like digits

        overnight new bakery --like sales
    """
    from overnight.cli.actions import scaffold

    files = scaffold.scaffold(name, like)
    scaffold.write(files)
    for path in files:
        print(path.relative_to(scaffold.ROOT))
    setting = f"OVERNIGHT_SOURCE_FOLDERS__{name.upper()}"
    print(
        f"\nTry it:    .venv/bin/pytest tests/contracts/test_models.py -k {name}\n"
        f"Edit:      models/{name}/source.py, schema.py, network.py, gates.py\n"
        f"Its rows:  {setting}, a folder of yours with a holdout.csv: the first one that is\n"
        "           ingested is the holdout for ever. Generated rows to try it with are in\n"
        f"           tests/models/{name}/rows\n"
        f"Start it:  overnight down; overnight up; overnight retrain {name}"
    )
