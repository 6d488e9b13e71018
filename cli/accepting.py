"""`overnight accept` and `exclude`: a person's word about data that waits."""

from typing import Annotated

import typer

from cli.parameters import Model, RequiredReason

Arrival = Annotated[str, typer.Argument(help="An arrival, as `overnight status` names it.")]


def accept(model: Model, arrival: Arrival, *, reason: RequiredReason) -> None:
    """Learn from an arrival that differs from what the champion learned; the next night goes on.

    Examples:

        overnight accept digits night-0007 --reason "the new scanner; looked at 50 of them"
    """
    _decide(model, arrival, "accept", reason)


def exclude(model: Model, arrival: Arrival, *, reason: RequiredReason) -> None:
    """Leave an arrival out of every training from now on; its rows may come again, put right.

    Examples:

        overnight exclude digits night-0007 --reason "scanned upside down"
    """
    _decide(model, arrival, "exclude", reason)


def _decide(model: str, arrival: str, decision: str, reason: str) -> None:
    from cli import asking

    asked = {"arrival": arrival, "decision": decision}
    asking.run("accept", model, asked, reason=reason, proving=tuple(asked))
