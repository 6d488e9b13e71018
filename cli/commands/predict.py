"""`overnight predict`: ask the model that serves."""

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
    """Ask serving about pictures or arrays, and print answer, probability and version.

    Pictures become grey and as large as the model takes them; dark ink on light paper is
    inverted. An .npy or .json file holds one row or several, as the model takes them.

    Examples:

        overnight predict digits seven.png

        overnight predict digits drawn/*.png --json
    """
    from overnight.cli.actions import predict as prediction

    prediction.run(model, files, as_json=as_json)
