"""`overnight init`, `new`, `test` and `deploy`: models of your own."""

from collections import Counter
from pathlib import Path
from typing import Annotated

import typer

Like = Annotated[
    str | None,
    typer.Option("--like", help="The starter; a wrong name lists all of them."),
]
Package = Annotated[
    str | None, typer.Option("--package", help="The package that the model is made in.")
]

_LISTED = 9


def init(
    folder: Annotated[Path, typer.Argument(help="The project's folder, new or not.")] = Path(),
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="The first model's name: letters and digits.")
    ] = None,
    like: Like = None,
    package: Package = None,
) -> None:
    """Make a project: a package with one model, settings, rows to try, and a test.

    It runs as it is: `overnight test` checks the model, `overnight up` trains and serves it.
    Then edit the model's files; docs/your-project.md continues from there.

    Examples:

        overnight init shop

        overnight init --model wine --like classification
    """
    from overnight.cli.actions.project import init as init_action

    files = init_action.make_project(folder, package=package, model=model, like=like)
    _print_files(files, folder)
    here = "" if folder.resolve() == Path.cwd() else f"cd {folder} && "
    print(f"\nTry it:    {here}overnight test\nStart it:  {here}overnight up")


def new(
    name: Annotated[str, typer.Argument(help="The name of the model: letters and digits.")],
    *,
    like: Like = None,
    from_rows: Annotated[
        Path | None,
        typer.Option("--from", help="A CSV of yours, whose columns the model takes."),
    ] = None,
    target: Annotated[
        str | None, typer.Option("--target", help="Its column with what is to be predicted.")
    ] = None,
    package: Package = None,
) -> None:
    """Add a model to the project: its files, its declaration, and rows to try it with.

    With a CSV of yours the columns, their gaps and the kind of the model follow from it; a starter
    comes with generated rows. Either can be trained at once. Then edit its files: docs/starters
    has a guide for each kind.

    Examples:

        overnight new churn --from customers.csv --target left

        overnight new bakery --like regression
    """
    from overnight.cli.actions.project import scaffold

    if (from_rows is None) != (target is None) or (from_rows and like):
        raise typer.BadParameter(
            "--from FILE and --target COLUMN belong together, and take the place of --like"
        )
    own = scaffold.OwnRows(from_rows, target) if from_rows and target else None
    _print_files(scaffold.add_model(name, like, package, own), Path())
    print(
        f"\nTry it:    overnight test {name}\n"
        f"Its rows:  rows/{name}, or another folder by source_folders in overnight.toml\n"
        f"Start it:  overnight deploy; overnight retrain {name}"
    )


def import_model(
    file: Annotated[Path, typer.Argument(help="A .keras file, or the folder of a SavedModel.")],
    name: Annotated[str, typer.Argument(help="The name of the model: letters and digits.")],
    *,
    rows: Annotated[
        Path | None,
        typer.Option(
            help="A folder of CSV files, one of them holdout.csv; else rows are generated."
        ),
    ] = None,
    label: Annotated[
        list[str] | None, typer.Option(help="The column with labels, or OUTPUT=COLUMN.")
    ] = None,
    classes: Annotated[
        str, typer.Option(help="The names of the classes, in the network's order: no,yes")
    ] = "",
    columns: Annotated[
        list[str] | None, typer.Option(help="The columns of an input: INPUT=COLUMN,COLUMN")
    ] = None,
    rename: Annotated[
        list[str] | None, typer.Option(help="Another name of an input or output: OLD=NEW")
    ] = None,
    layers: Annotated[
        str | None, typer.Option(help="The module, or Python file, with layers of your own.")
    ] = None,
    package: Package = None,
) -> None:
    """Add a model that serves an existing network as it is: its weights are the version.

    The file is copied into the model's package, and no code in it is run. The version passes gates,
    rehearsal and approval like any other. Losses that are added to its network.py make it train on
    from these weights; docs/networks.md shows how.

    Examples:

        overnight import-model churn.keras churn --rows churn/ --label left --classes no,yes

        overnight import-model exported/ ranking --rename output_0=score
    """
    from overnight.cli.actions.imports import import_model as action

    pairs = dict(each.partition("=")[::2] for each in rename or ())
    imported = action.import_model(
        file,
        name,
        package=package,
        rows=rows,
        label=label or (),
        classes=tuple(filter(None, classes.split(","))),
        columns=columns or (),
        rename=pairs,
        layers=layers,
    )
    _print_files(imported.files, Path())
    for old, new_name in imported.renamed.items():
        why = "" if old in pairs else ": its own name cannot be exported"
        print(f"renamed    {old} is {new_name} for clients{why}")
    print(
        f"\nTry it:    overnight test {name}\nStart it:  overnight deploy; overnight retrain {name}"
    )


def _print_files(files: tuple[Path, ...], folder: Path) -> None:
    absolute = folder.absolute()
    shown = [
        path.relative_to(absolute) if path.is_relative_to(absolute) else path for path in files
    ]
    counts = Counter(path.parent for path in shown)
    # Pictures are hundreds of files in a folder.
    lines = (
        path if (n := counts[path.parent]) <= _LISTED else f"{path.parent} ({n} files)"
        for path in shown
    )
    for line in dict.fromkeys(lines):
        print(line)


def check(
    names: Annotated[
        list[str] | None, typer.Argument(metavar="[MODEL]...", help="Models; none for all.")
    ] = None,
) -> None:
    """Check models on the rows that exist: one line a check, with what to do.

    Rows are read and validated, one epoch is trained, the result is exported and served; each gate
    must be able to hold. Exits with 1 when a check fails.

    Examples:

        overnight test

        overnight test wine
    """
    from overnight.cli.actions.project import check_models

    if not check_models.run(names or ()):
        raise typer.Exit(1)


def deploy() -> None:
    """Bring added, changed and removed models to a running stack; nothing is restarted.

    Schedules and forms follow the definitions. A model that is gone keeps its versions, which are
    served until `overnight gc` removes them; nothing retrains it any more.

    Examples:

        overnight deploy
    """
    from overnight.cli.actions.project import deploy as deploy_action

    deploy_action.run()
