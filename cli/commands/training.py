"""`overnight retrain` and `overnight ingest`."""

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
    seed: Annotated[int | None, typer.Option(min=0, help="Where all chance comes from.")] = None,
    take_in: Annotated[
        bool, typer.Option("--take-in/--no-take-in", help="First take in what arrived, or not.")
    ] = True,
    begin: Annotated[
        str | None, typer.Option(help="From which weights: afresh or champion.")
    ] = None,
    force: Annotated[
        bool, typer.Option("--force", help="Train though nothing changed; the record says so.")
    ] = False,
    if_changed: Annotated[
        bool,
        typer.Option("--if-changed", help="Look here first; leave at once when nothing changed."),
    ] = False,
    approval: Annotated[
        str | None, typer.Option(help="Who decides: automatic (the gates) or manual (a person).")
    ] = None,
    overrule_gates: Annotated[
        bool,
        typer.Option("--overrule-gates", help="Publish even when gates refuse; entitled alone."),
    ] = False,
    reason: Reason = "",
    wait: Wait = True,
) -> None:
    """Take in what arrived, train a candidate, and promote it when it passes its gates.

    Ends with 0 when a version was promoted or waits for approval, 3 when a gate refused it, and 4
    when nothing changed since the last time.

    Examples:

        overnight retrain digits

        overnight retrain digits --epochs 2 --seed 7 --reason "try a short fit"

        overnight retrain digits --approval manual --no-wait

        overnight retrain digits --if-changed        (from cron: two seconds when nothing changed)
    """
    asked = _begin(begin)
    if approval not in {None, "automatic", "manual"}:
        raise typer.BadParameter("expected automatic or manual", param_hint="--approval")
    chosen = {
        "epochs": epochs,
        "learning_rate": learning_rate,
        "batch_rows": batch_rows,
        "seed": seed,
        "approval": approval,
        "begin": begin,
    }
    if if_changed and not force:
        # Before what asks Prefect is imported: whoever leaves here needs none of it.
        from overnight.cli.actions import dry_run

        dry_run.leave_unless_changed(
            model,
            {name: chosen[name] for name in ("epochs", "learning_rate", "batch_rows", "seed")},
            take_in=take_in,
            begin=asked,
        )
    from overnight.cli.runs import start

    given = {name: value for name, value in chosen.items() if value is not None}
    walk = {"take_in": take_in, "force": force}
    if not overrule_gates:
        start.run("retrain", model, given | walk, reason=reason, wait=wait)
        return
    if not (reason := reason.strip()):
        raise typer.BadParameter("overruling gates needs a reason", param_hint="--reason")
    # All of it is proved, so that nobody can overrule gates by the same proof for another fit.
    declared = {"approval": "as declared", "begin": "as declared"}
    overruled = declared | given | walk | {"overrule_gates": True}
    start.run("retrain", model, overruled, reason=reason, wait=wait, proving=tuple(overruled))


def ingest(
    model: Model,
    files: Annotated[
        list[Path] | None,
        typer.Argument(exists=True, help="Files or folders; none for the source's next arrival."),
    ] = None,
    *,
    wait: Wait = True,
) -> None:
    """Land files and take them into the model's dataset; duplicates and bad files stay out.

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
    """Search the model's declared ranges for better settings, and keep the best for its nights.

    Trials run side by side and are judged by their validation loss; the card of the run draws
    them. Ends with 0 when better ones were found, and 4 when what holds is best.

    Examples:

        overnight tune digits --trials 30

        overnight tune digits --forget --reason "back to what the model declares"
    """
    from overnight.cli.runs import start

    chosen = {"trials": trials, "parallel": parallel, "forget": forget}
    given = {name: value for name, value in chosen.items() if value is not None}
    start.run("tune", model, given, reason=reason, wait=wait)


def _begin(begin: str | None) -> Literal["as declared", "afresh", "champion"]:
    match begin:
        case None:
            return "as declared"
        case "afresh" | "champion":
            return begin
    raise typer.BadParameter("expected afresh or champion", param_hint="--begin")
