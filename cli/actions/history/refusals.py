"""`overnight refusals`: the candidates that gates refused, and why."""

import json
import sys
from collections.abc import Sequence

from rich.console import Console

from overnight.cli.actions.show import gates_table
from overnight.cli.errors import WrongArgument
from overnight.cli.runs.exit_codes import NOTHING_TO_DO
from overnight.cli.terminal import format_time, new_table, open_console
from overnight.cli.version_names import ShortNames, check_known, shortener
from overnight.infra import connections
from overnight.infra.prefect_api import Document
from overnight.infra.settings import load
from overnight.store.registry.refusals import Refusal, Refusals
from overnight.tasks.evaluation.judge import Verdict

# As much of a fingerprint as names of versions have.
_SHORT = 12


def run(model: str, candidate: str | None, *, as_json: bool) -> None:
    """Print the refusals of a model, newest first, or every gate of one; 4 when there is none.

    Raises:
        UnknownModel: no model is called so. WrongArgument: no or several candidates begin so.
    """
    settings, console = load(), open_console()
    bucket = connections.bucket(settings)
    check_known(bucket, model)
    listed = Refusals(bucket, model).newest_first()
    for problem in listed.damaged:
        print(problem, file=sys.stderr)
    refusals = listed.refusals if candidate is None else _of(model, candidate, listed.refusals)
    short = shortener(bucket, model, console)
    if as_json:
        print(json.dumps([to_json(refusal) for refusal in refusals], indent=2))
    elif candidate is not None:
        for refusal in refusals:
            _print(refusal, console, short)
    elif refusals:
        show(refusals, console, short)
    else:
        console.print(f"no candidate of {model} was refused")
    if not refusals:
        sys.exit(NOTHING_TO_DO)


def to_json(refusal: Refusal) -> Document:
    """A refusal with its headline, as the card and the state of its run have it."""
    return {"headline": headline(refusal), **refusal.model_dump(mode="json")}


def headline(refusal: Refusal) -> str:
    """How many gates failed, and the figures of the first ones."""
    return str(Verdict(refusal.findings))


def show(refusals: Sequence[Refusal], console: Console, short: ShortNames) -> None:
    """Print refusals as a table."""
    table = new_table("refused (UTC)", "candidate", "compared with", "why")
    for refusal in refusals:
        table.add_row(
            format_time(refusal.at),
            refusal.fingerprint[:_SHORT],
            short(refusal.compared_with) if refusal.compared_with else "no champion",
            headline(refusal),
        )
    console.print(table)


def _of(model: str, candidate: str, refusals: Sequence[Refusal]) -> Sequence[Refusal]:
    """The refusals of the one candidate whose fingerprint begins so."""
    fitting = [each for each in refusals if each.fingerprint.startswith(candidate.lower())]
    fingerprints = sorted({each.fingerprint for each in fitting})
    if len(fingerprints) != 1:
        names = ", ".join(each[:_SHORT] for each in fingerprints) or "none"
        raise WrongArgument(
            f"expected the beginning of one refused candidate of {model}, found {candidate!r}, "
            f"which fits: {names}; `overnight refusals {model}` lists them"
        )
    return fitting


def _print(refusal: Refusal, console: Console, short: ShortNames) -> None:
    champion = short(refusal.compared_with) if refusal.compared_with else "no champion"
    console.print(
        f"{refusal.model}: candidate {refusal.fingerprint[:_SHORT]} was refused on "
        f"{format_time(refusal.at)} UTC, compared with {champion}",
        style="bold",
    )
    console.print(headline(refusal))
    console.print(gates_table(refusal.findings, wide=True))
