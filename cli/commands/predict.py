"""`overnight predict`: predictions of the serving champion."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model


def predict(
    model: Model,
    files: Annotated[
        list[Path],
        typer.Argument(exists=True, dir_okay=False, help="PNG, JPEG, .npy or .json files."),
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Predict images or arrays, and print answer, probability and version.

    Images are turned upright, converted to grey and scaled to the model's size; where the model
    takes drawings bright on dark, as digits does, dark ink on light paper is inverted. An .npy or
    .json file holds one row or several, in the shape of the model's input.

    Examples:

        overnight predict digits seven.png

        overnight predict digits drawn/*.png --json
    """
    from overnight.cli.actions import predict as predict_action

    predict_action.run(model, files, as_json=as_json)
