"""Errors of what people ask of a flow.

overnight.store.errors.OvernightError
├── NotEntitled             somebody asked for what only others may: ask them
└── UnknownArrival          nothing of this name is in the dataset
"""

from collections.abc import Sequence

from overnight.store.errors import OvernightError


class NotAuthorized(OvernightError):
    """Only certain people may ask for this."""

    def __init__(self, who: str, what: str, entitled: Sequence[str], setting: str) -> None:
        super().__init__(
            f"{who!r} may not {what}; entitled are: {', '.join(entitled) or 'nobody'}. Ask one of "
            f"them, or whoever runs the worker to add the name to {setting}"
        )


class UnknownArrival(OvernightError):
    """The dataset has no rows that came under this name."""

    def __init__(self, model: str, arrival: str, waiting: tuple[str, ...]) -> None:
        super().__init__(
            f"{model} has no arrival {arrival!r} in its dataset; "
            f"those that wait for a word are: {', '.join(waiting) or 'none'}"
        )
