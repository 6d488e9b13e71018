"""`overnight init`, `new`, `test` and `deploy`: models of your own."""

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
    package: Package = None,
) -> None:
    """Add a model to the project: its files, its declaration, and generated rows to try it with.

    The new model can be trained at once, on generated rows. Then edit its files:
    docs/add-your-model.md goes through them in fifteen minutes.

    Examples:

        overnight new wine

        overnight new bakery --like regression
    """
    from overnight.cli.actions.project import scaffold

    _print_files(scaffold.add_model(name, like, package), Path())
    print(
        f"\nTry it:    overnight test {name}\n"
        f"Its rows:  rows/{name}, or another folder by source_folders in overnight.toml\n"
        f"Start it:  overnight deploy; overnight retrain {name}"
    )


def _print_files(files: tuple[Path, ...], folder: Path) -> None:
    for path in files:
        inside = path.is_relative_to(folder.absolute())
        print(path.relative_to(folder.absolute()) if inside else path)


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
