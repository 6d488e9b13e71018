"""`overnight predict`: predictions of the serving champion."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model


def predict(
    model: Model,
    files: Annotated[
        list[Path],
        typer.Argument(
            exists=True,
            dir_okay=False,
            help="PNG, JPEG, WebP, .csv, .parquet, .jsonl, .json or .npy files.",
        ),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Predict pictures or rows, and print answer, probability and version.

    Rows of CSV, Parquet and JSON lines have a column or key for each input; others, such as the
    label, are left out. An empty cell or null is a missing value, and an input that has a default
    may be absent. Columns of pictures name files. A row that cannot be predicted is named on
    standard error, costs the others nothing, and makes the exit code 1.

    Pictures are turned upright, and sent as they are; other sizes are resized only where the model
    declares it. Where the model takes drawings bright on dark, as digits does, dark ink on light
    paper is inverted and cut out. An .npy or .json file may also hold one row or several, in the
    shape of the model's only input.

    Examples:

        overnight predict digits seven.png

        overnight predict wine bottles.csv

        overnight predict digits drawn/*.png --json
    """
    from overnight.cli.actions import predict as predict_action

    code = predict_action.run(model, files, as_json=as_json)
    if code:
        raise typer.Exit(code)
