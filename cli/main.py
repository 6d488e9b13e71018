"""The front door: `overnight`.

Commands are thin here and import what they work with when they run, so that help is instant.
"""

import sys
from typing import NoReturn

import typer

from overnight.cli.commands import (
    bucket,
    challenge,
    decisions,
    inspect,
    keys,
    new,
    predict,
    stack,
    training,
)
from overnight.store.errors import OvernightError

app = typer.Typer(
    name="overnight",
    help=(
        "Keeps TensorFlow models fresh: retrained every night, gated, published, hot-reloaded.\n\n"
        "Begin with [bold]overnight up[/bold]. Exit codes: 0 done, 1 failed, 2 wrong usage, "
        "3 refused by a gate, 4 nothing to do. Every setting is an environment variable "
        "OVERNIGHT_…; state lives under .overnight/ unless OVERNIGHT_HOME says otherwise."
    ),
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    add_completion=False,
)
_ONE_MACHINE, _THE_WALK, _WHAT_SERVES = "One machine", "The walk", "What serves"
_UPKEEP = "Upkeep"
app.command(rich_help_panel=_ONE_MACHINE)(stack.up)
app.command(rich_help_panel=_ONE_MACHINE)(stack.down)
app.command(rich_help_panel=_ONE_MACHINE)(inspect.status)
app.command(rich_help_panel=_ONE_MACHINE)(new.new)
app.add_typer(keys.app, name="keys", rich_help_panel=_ONE_MACHINE)
app.command(rich_help_panel=_THE_WALK)(training.ingest)
app.command(rich_help_panel=_THE_WALK)(training.retrain)
app.command(rich_help_panel=_THE_WALK)(decisions.accept)
app.command(rich_help_panel=_THE_WALK)(decisions.exclude)
app.command(rich_help_panel=_THE_WALK)(training.tune)
app.command(rich_help_panel=_THE_WALK)(inspect.why)
app.command(rich_help_panel=_THE_WALK)(inspect.reproduce)
app.command(rich_help_panel=_WHAT_SERVES)(inspect.versions)
app.command(rich_help_panel=_WHAT_SERVES)(inspect.show)
app.command(rich_help_panel=_WHAT_SERVES)(inspect.diff)
app.command(rich_help_panel=_WHAT_SERVES)(decisions.promote)
app.command(rich_help_panel=_WHAT_SERVES)(decisions.rollback)
app.command(rich_help_panel=_WHAT_SERVES)(challenge.challenge)
app.command(rich_help_panel=_WHAT_SERVES)(decisions.approve)
app.command(rich_help_panel=_WHAT_SERVES)(decisions.reject)
app.command(rich_help_panel=_WHAT_SERVES)(predict.predict)
app.command(rich_help_panel=_UPKEEP)(bucket.verify)
app.command(rich_help_panel=_UPKEEP)(bucket.gc)
app.command(rich_help_panel=_UPKEEP)(bucket.export)
app.command("import", rich_help_panel=_UPKEEP)(bucket.import_)


def main() -> None:
    """Run the command line; every error that can be expected is one line on standard error."""
    try:
        app()
    except OvernightError as error:
        _fail(str(error))
    except OSError as error:
        where = f": {error.filename}" if error.filename else ""
        _fail(f"{error.strerror or error}{where}")
    except ValueError as error:
        from pydantic import ValidationError

        if not isinstance(error, ValidationError):
            raise
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        _fail(f"{error.title} {field}: {first['msg']}, found {first['input']!r:.100}")


def _fail(told: str) -> NoReturn:
    print(f"overnight: {' '.join(told.split())}", file=sys.stderr)
    sys.exit(1)


if __name__ == "__main__":
    main()
