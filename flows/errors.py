"""Errors of requests to a flow.

overnight.store.errors.OvernightError
├── NotAuthorized           only certain people may request this: ask one of them
├── IncompleteRequest       a parameter is missing that this request needs: fill it in
└── UnknownArrival          there is no arrival of this name
"""

from collections.abc import Sequence

from overnight.store.errors import OvernightError


class NotAuthorized(OvernightError):
    """Only certain people may request this."""

    def __init__(self, person: str, action: str, authorized: Sequence[str], setting: str) -> None:
        super().__init__(
            f"{person!r} may not {action}; authorized are: {', '.join(authorized) or 'nobody'}. "
            f"Ask one of them, or the operator of the worker to add the name to {setting}"
        )


class IncompleteRequest(OvernightError):
    """A parameter is missing that this request needs; the message names it."""


class UnknownArrival(OvernightError):
    """The dataset has no rows that came under this name, and it cannot be excluded either."""

    def __init__(
        self, model: str, arrival: str, waiting: tuple[str, ...], landed: tuple[str, ...]
    ) -> None:
        super().__init__(
            f"{model} has no arrival {arrival!r} in its dataset; "
            f"those that wait for a decision are: {', '.join(waiting) or 'none'}; those that are "
            f"not ingested yet, and may be excluded only: {', '.join(landed) or 'none'}"
        )
