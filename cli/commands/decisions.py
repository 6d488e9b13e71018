"""Decisions of people about versions and about arrivals that wait for review."""

from typing import Annotated

import typer

from overnight.cli.commands.parameters import Model, Reason, RequiredReason, Version

Arrival = Annotated[
    str, typer.Argument(help="An arrival, as `overnight status` and `overnight landing` name it.")
]


def promote(model: Model, version: Version, *, reason: RequiredReason) -> None:
    """Point the champion at a version that was approved before.

    Examples:

        overnight promote digits 20261122T020000-0123456789ab --reason "the new one misreads 7"
    """
    _decide(model, version, "move", reason)


def rollback(
    model: Model,
    *,
    to: Annotated[
        str | None,
        typer.Option(
            help="An approved version, or its beginning; the previous champion if left out."
        ),
    ] = None,
    reason: RequiredReason,
) -> None:
    """Point the champion back at the version that served before.

    Examples:

        overnight rollback digits --reason "complaints since this morning"

        overnight rollback digits --to 20261122T020000-0123456789ab --reason "known to be good"
    """
    from overnight.cli.runs import request_checks, start

    if to:
        to = request_checks.version(model, to)
    else:
        request_checks.rollback(model)
    start.run("rollback", model, {"to": to} if to else {}, reason=reason, signed=("to",))


def approve(model: Model, version: Version, *, reason: Reason = "") -> None:
    """Approve a version that passed its gates and waits; it becomes champion.

    Examples:

        overnight approve digits 20261122T020000-0123456789ab --reason "looked at its mistakes"
    """
    _decide(model, version, "approve", reason)


def reject(model: Model, version: Version, *, reason: RequiredReason) -> None:
    """Reject a version that waits; this is permanent.

    Examples:

        overnight reject digits 20261122T020000-0123456789ab --reason "trained on a bad batch"
    """
    _decide(model, version, "reject", reason)


def accept(model: Model, arrival: Arrival, *, reason: RequiredReason) -> None:
    """Train on an arrival that differs from what the champion learned, from the next run on.

    Examples:

        overnight accept digits night-0007 --reason "the new scanner; looked at 50 of them"
    """
    _review(model, arrival, "accept", reason)


def exclude(model: Model, arrival: Arrival, *, reason: RequiredReason) -> None:
    """Leave an arrival out of every training from now on; its rows may arrive again, corrected.

    One that waits in the landing is quarantined by the next ingest, unread.

    Examples:

        overnight exclude digits night-0007 --reason "scanned upside down"
    """
    _review(model, arrival, "exclude", reason)


def _decide(model: str, version: str, decision: str, reason: str) -> None:
    from overnight.cli.runs import request_checks, start

    parameters = {"version": request_checks.version(model, version), "decision": decision}
    start.run("promote", model, parameters, reason=reason, signed=tuple(parameters))


def _review(model: str, arrival: str, decision: str, reason: str) -> None:
    from overnight.cli.runs import request_checks, start

    request_checks.arrival(model, arrival, excluded=decision == "exclude")
    parameters = {"arrival": arrival, "decision": decision}
    start.run("accept", model, parameters, reason=reason, signed=tuple(parameters))
