"""`overnight promote`, `rollback`, `approve` and `reject`: a person's word about a version."""

from typing import Annotated

import typer

from cli.parameters import Model, Reason, RequiredReason, Version


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
        str | None, typer.Option(help="An approved version; what served before when left out.")
    ] = None,
    reason: RequiredReason,
) -> None:
    """Point the champion back at what served before.

    Examples:

        overnight rollback digits --reason "complaints since this morning"

        overnight rollback digits --to 20261122T020000-0123456789ab --reason "known to be good"
    """
    from cli import asking

    asking.run("rollback", model, {"to": to} if to else {}, reason=reason, proving=("to",))


def approve(model: Model, version: Version, *, reason: Reason = "") -> None:
    """Approve a version that passed its gates and waits; it becomes champion.

    Examples:

        overnight approve digits 20261122T020000-0123456789ab --reason "looked at its mistakes"
    """
    _decide(model, version, "approve", reason)


def reject(model: Model, version: Version, *, reason: RequiredReason) -> None:
    """Reject a version that waits, for ever.

    Examples:

        overnight reject digits 20261122T020000-0123456789ab --reason "trained on a bad batch"
    """
    _decide(model, version, "reject", reason)


def _decide(model: str, version: str, decision: str, reason: str) -> None:
    from cli import asking

    asked = {"version": version, "decision": decision}
    asking.run("promote", model, asked, reason=reason, proving=tuple(asked))
