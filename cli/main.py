"""The `overnight` command line.

`cli/commands` declares arguments and help; each command imports its `cli/actions` module only when
it runs, so that help does not wait for heavy imports.
"""

import atexit
import os
import sys
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Annotated, NoReturn

import typer

from overnight import __version__
from overnight.cli.commands import (
    bucket,
    challenge,
    decisions,
    feedback,
    history,
    holdout,
    inspect,
    keys,
    monitor,
    new,
    notifications,
    predict,
    predictions,
    score,
    stack,
    training,
)
from overnight.cli.errors import WrongArgument
from overnight.cli.help import Command, Group
from overnight.cli.runs.exit_codes import FAILED, WRONG_USAGE
from overnight.store.errors import OvernightError
from overnight.store.printable import printable

app = typer.Typer(
    name="overnight",
    cls=Group,
    help=(
        "Continuous delivery of TensorFlow models: retrained on a schedule, gated, published and "
        "hot-reloaded.\n\n"
        "Start with [bold]overnight up[/bold]. Exit codes: 0 done, 1 failed, 2 wrong usage, "
        "3 refused by a gate or alarmed, 4 nothing to do. Every setting is an environment variable "
        "OVERNIGHT_…, or a key of overnight.toml; state lives under .overnight/ of the project."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_PANELS: Mapping[str, tuple[Callable[..., None], ...]] = {
    "Project": (new.init, new.new, new.import_model, new.deploy),
    "Stack": (
        stack.up,
        stack.down,
        inspect.status,
        notifications.summary,
        notifications.notify,
    ),
    "Pipeline": (
        training.ingest,
        training.retrain,
        inspect.landing,
        decisions.accept,
        decisions.exclude,
        holdout.holdout,
        monitor.monitor,
        training.tune,
        history.runs,
        history.logs,
        inspect.why,
        inspect.reproduce,
    ),
    "Versions and serving": (
        inspect.versions,
        inspect.show,
        history.refusals,
        inspect.diff,
        decisions.promote,
        decisions.rollback,
        challenge.challenge,
        decisions.approve,
        decisions.reject,
        predict.predict,
        score.score,
        feedback.feedback,
        predictions.predictions,
    ),
    "Store": (bucket.verify, bucket.gc, bucket.export),
}
for panel, commands in _PANELS.items():
    for command in commands:
        app.command(rich_help_panel=panel)(command)
app.command("test", rich_help_panel="Project")(new.check)
app.command("import", rich_help_panel="Store")(bucket.import_)
app.command("open", rich_help_panel="Stack")(history.open_)
app.add_typer(keys.app, name="keys", cls=Group, rich_help_panel="Stack")
for registered in (*app.registered_commands, *keys.app.registered_commands):
    registered.cls = Command


def _print_version(wanted: bool) -> None:  # noqa: FBT001
    if wanted:
        print(f"overnight {__version__}")
        raise typer.Exit


@app.callback()
def overnight(
    *,
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_print_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    # Typer takes a docstring of this function for the help of the whole command.
    pass


def main() -> None:
    """Run the command line; an expected error is one line on standard error."""
    code = 1

    def end() -> None:
        # A reader such as `head` may have closed them.
        for stream in (sys.stdout, sys.stderr):
            with suppress(OSError, ValueError):
                stream.flush()
        os._exit(code)

    # Instead of finalizing the interpreter: threads of Arrow may still hold buffers of Python's,
    # and one that frees such a buffer then ends the process by SIGABRT (apache/arrow#34314).
    atexit.register(end)
    try:
        _run()
    except SystemExit as ended:
        code = ended.code if isinstance(ended.code, int) else int(ended.code is not None)
        raise
    code = 0


def _run() -> None:
    try:
        app()
    except WrongArgument as error:
        _fail(str(error), WRONG_USAGE)
    except OvernightError as error:
        _fail(str(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}")
    except ValueError as error:
        # Imported here because help must not wait for pydantic.
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        _fail(f"{error.title} {field}: {first['msg']}, found {first['input']!r:.100}")


def _fail(message: str, code: int = FAILED) -> NoReturn:
    print(f"overnight: {printable(' '.join(message.split()))}", file=sys.stderr)
    sys.exit(code)


if __name__ == "__main__":
    main()
