"""`overnight retrain`, `ingest` and `tune`."""

from pathlib import Path
from typing import Annotated, Literal

import typer

from overnight.cli.commands.parameters import Model, Reason, Wait


def retrain(
    model: Model,
    *,
    epochs: Annotated[int | None, typer.Option(min=1, help="Passes over the rows.")] = None,
    learning_rate: Annotated[
        float | None, typer.Option(min=0, help="The highest learning rate of the fit.")
    ] = None,
    batch_rows: Annotated[int | None, typer.Option(min=1, help="Rows in one step.")] = None,
    seed: Annotated[int | None, typer.Option(min=0, help="Seed of every random choice.")] = None,
    ingest_first: Annotated[
        bool, typer.Option("--ingest-first/--no-ingest-first", help="Ingest new arrivals first.")
    ] = True,
    start_from: Annotated[
        Literal["scratch", "champion"] | None, typer.Option(help="The initial weights.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train though nothing changed; the record says so.")
    ] = False,
    if_changed: Annotated[
        bool,
        typer.Option("--if-changed", help="Check here first; exit at once when nothing changed."),
    ] = False,
    approval: Annotated[
        Literal["automatic", "manual"] | None,
        typer.Option(help="Who decides: automatic (the gates) or manual (a person)."),
    ] = None,
    override_gates: Annotated[
        bool,
        typer.Option(
            "--override-gates",
            help="Publish even when gates refuse; only for people in OVERNIGHT_OVERRIDERS.",
        ),
    ] = False,
    reason: Reason = "",
    wait: Wait = True,
) -> None:
    """Ingest what arrived, train a candidate, and promote it when it passes its gates.

    Exits with 0 when a version was promoted or waits for approval, 3 when a gate refused it, and 4
    when nothing changed since the last run.

    Examples:

        overnight retrain digits

        overnight retrain digits --epochs 2 --seed 7 --reason "try a short fit"

        overnight retrain digits --approval manual --no-wait

        overnight retrain digits --if-changed        (from cron: two seconds when nothing changed)
    """
    settings = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
    }
    if if_changed and not force:
        # Imported before the Prefect client, which is slow to import and not needed to exit here.
        from overnight.cli.actions import dry_run

        dry_run.exit_unless_changed(
            model, settings, ingest_first=ingest_first, start_from=start_from or "as declared"
        )
    from overnight.cli.runs import start

    optional = {**settings, "approval": approval, "start_from": start_from}
    parameters = {name: value for name, value in optional.items() if value is not None}
    parameters |= {"ingest_first": ingest_first, "force": force}
    if not override_gates:
        start.run("retrain", model, parameters, reason=reason, wait=wait)
        return
    if not (reason := reason.strip()):
        raise typer.BadParameter("overriding gates needs a reason", param_hint="--reason")
    # Every parameter is signed, so that nobody can override gates by the same proof for another
    # fit. The flow signs its defaults, so those of the two choices are stated here as well.
    signed = {"approval": "as declared", "start_from": "as declared"} | parameters
    signed |= {"override_gates": True}
    start.run("retrain", model, signed, reason=reason, wait=wait, signed=tuple(signed))


def ingest(
    model: Model,
    files: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, help="Files or folders; none for the source's next arrival."),
    ] = None,
    *,
    wait: Wait = True,
) -> None:
    """Land files and ingest them into the model's dataset; duplicates and bad files stay out.

    digits reads IDX, PNGs in folders named after their label, CSV, Parquet and .npz.

    Examples:

        overnight ingest digits march.csv april.csv

        overnight ingest digits drawn/        (drawn/7/a.png is a seven)

        overnight ingest digits
    """
    from overnight.cli.actions import land_files
    from overnight.cli.runs import start

    if files:
        land_files.land(model, files)
    start.run("ingest", model, {}, wait=wait)


def tune(
    model: Model,
    *,
    trials: Annotated[int, typer.Option(min=2, max=500, help="How many fits.")] = 20,
    parallel: Annotated[
        int | None, typer.Option(min=1, max=64, help="At once; half of the cores when left out.")
    ] = None,
    forget: Annotated[
        bool, typer.Option("--forget", help="Go back to the model's own settings.")
    ] = False,
    reason: Reason = "",
    wait: Wait = True,
) -> None:
    """Search the model's declared ranges for better settings, and keep the best for later runs.

    Trials run in parallel and are judged by their validation loss; the card of the run plots
    them. Exits with 0 when better settings were found, and with 4 otherwise.

    Examples:

        overnight tune digits --trials 30

        overnight tune digits --forget --reason "back to what the model declares"
    """
    from overnight.cli.runs import start

    parameters = {"trials": trials, "forget": forget}
    if parallel is not None:
        parameters["parallel"] = parallel
    start.run("tune", model, parameters, reason=reason, wait=wait)
