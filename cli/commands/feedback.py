"""`overnight feedback`: the truth of what was answered."""

from pathlib import Path
from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model


def feedback(
    model: Model,
    file: Annotated[
        Path, typer.Argument(exists=True, dir_okay=False, help="A .csv, .jsonl or .parquet file.")
    ],
    *,
    as_json: AsJson = False,
) -> None:
    """Send what was true of earlier answers, from a file with a label a row.

    Columns or keys: `request`, the X-Request-Id of the answer, or else `caller`, the `id` that was
    sent with the request; `truth`, a class by its name or a number, and JSON for several outputs;
    and `row`, where a request had several, from 0. Others are left out.

    Labels measure the quality of the versions that answered, and the next run learns from them
    where the model declares it. The first label of an answer stands. The same again changes
    nothing, so a file may be sent again; another one takes the answer out of all metrics.

    A label that is refused is named by its line on standard error, costs the others nothing, and
    makes the exit code 1; a file without labels makes it 4. A server that requires
    keys takes OVERNIGHT_ADMIN_TOKEN.

    Examples:

        overnight feedback digits checked.csv

        overnight feedback churn outcomes.csv.gz

        overnight feedback sales sold.parquet --json | jq .lines
    """
    from overnight.cli.actions.labels import send_labels

    code = send_labels.run(model, file, as_json=as_json)
    if code:
        raise typer.Exit(code)
