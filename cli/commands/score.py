"""`overnight score`: answers to the rows of files and tables of any length."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import AsJson, Model

_PLACE = "a .csv or .parquet file, or a Delta table: a path, or s3://bucket/key."


def score(
    model: Model,
    rows: Annotated[str, typer.Argument(metavar="INPUT", help=f"The rows: {_PLACE}")],
    output: Annotated[str, typer.Argument(help=f"The answers: {_PLACE}")],
    *,
    version: Annotated[
        str | None, typer.Option("--version", help="The version that answers; the champion if not.")
    ] = None,
    keep: Annotated[
        list[str] | None,
        typer.Option("--keep", metavar="COLUMN", help="Carry over only this column; repeatable."),
    ] = None,
    only: Annotated[
        list[str] | None,
        typer.Option("--output", metavar="NAME", help="Only this output of the model; repeatable."),
    ] = None,
    record: Annotated[
        bool, typer.Option("--record/--no-record", help="Write into the prediction log.")
    ] = True,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace what another run made, or began.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Score all rows of a file or table with one version, without a server; memory stays bounded.

    INPUT has a column for each input of the model, by its name; `overnight show MODEL` lists them.
    In CSV a list is a cell such as "[1, 2]". The answers have all columns of the input (--keep
    chooses), and `request` and `row`, which name each answer for `overnight feedback`; `version`,
    `at`, the outputs as `output.NAME`, and of classes `answer` and `probability`. A Delta table is
    appended to.

    A row that does not fit costs only itself: its number and reason are in OUTPUT's side file
    `….rejected.csv` or `.parquet`, and the exit code is 1. Exits with 4 when there is nothing to
    do: no rows, or the output is complete.

    If interrupted, run it again: it resumes, with the version with which it began. No row is in
    the output or in a table twice.

    Examples:

        overnight score wine bottles.csv answers.csv

        overnight score sales s3://lake/rows.parquet forecasts.parquet --keep store --keep day

        overnight score digits s3://lake/scans s3://lake/read --output probabilities --json
    """
    from overnight.cli.actions.scoring import score_rows

    code = score_rows.run(
        model,
        rows,
        output,
        version=version,
        keep=keep,
        outputs=only or (),
        record=record,
        overwrite=overwrite,
        as_json=as_json,
    )
    if code:
        raise typer.Exit(code)
