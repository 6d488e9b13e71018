"""`overnight predictions --delete-client`: everything that is stored of a client goes."""

import json
import sys

import typer
from rich.console import Console

from overnight.cli.actions.predictions import tables
from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import open_console
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.errors import ConfigurationError
from overnight.store.predictions.deletion import ClientRows, count_client, delete_client
from overnight.tasks.monitoring.collect import collect


def run(model: str, client: str, *, confirmed: bool, as_json: bool) -> None:
    """Collect, show what there is of a client, ask, and delete; exits with 4 without any row.

    Raises:
        UnknownModel, StoreUnavailable, StoreDenied, CorruptTable
        ConfigurationError: nobody is there to ask; nothing was deleted.
    """
    settings = load()
    predictions, labels = tables(settings, model)
    # Standard output is the JSON document alone, so everything else goes to standard error.
    console = Console(stderr=True, highlight=False) if as_json else open_console()
    # The rows of the spool are the client's as well.
    collect(connections.bucket(settings), model, predictions, labels)
    rows = count_client(predictions, labels, client)
    if not rows.answers and not rows.labels:
        console.print(f"{model} has no rows of {client!r}: by its key, or a digest of it")
        _report(rows, as_json=as_json)
        sys.exit(NOTHING_TO_DO)
    counts = f"{rows.answers:,} rows of answers and {rows.labels:,} labels"
    if not confirmed:
        _confirm(f"{model}: {counts} are of {client!r}; delete them for good?")
    deleted = delete_client(predictions, labels, client)
    console.print(f"{model}: {deleted.answers:,} rows and {deleted.labels:,} labels are deleted")
    _report(deleted, as_json=as_json)


def _confirm(question: str) -> None:
    if not sys.stdin.isatty():
        raise ConfigurationError(f"{question} Nothing was: add --yes to delete without a question")
    typer.confirm(question, abort=True, err=True)


def _report(rows: ClientRows, *, as_json: bool) -> None:
    if as_json:
        print(json.dumps({"answers": rows.answers, "labels": rows.labels}))
