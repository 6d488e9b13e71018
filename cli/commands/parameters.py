"""The arguments and options that several commands share."""

from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A model of the catalogue, such as digits.")]
Version = Annotated[
    str,
    typer.Argument(help="A version that `overnight versions MODEL` lists, or its beginning."),
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document.")]
Watch = Annotated[
    bool, typer.Option("--watch", help="Draw it again every few seconds, until Ctrl-C.")
]
Reason = Annotated[str, typer.Option("--reason", help="Why, for the record.")]
RequiredReason = Annotated[str, typer.Option("--reason", help="Why, for the record; required.")]
Wait = Annotated[bool, typer.Option("--wait/--no-wait", help="Follow the run to its end.")]
