"""Errors of the catalogue and its sources.

overnight.store.errors.OvernightError
├── UnknownModel            not in the catalogue
└── SourceUnavailable       no place has the data: try again, or name a folder
"""

from collections.abc import Sequence

from overnight.store.errors import OvernightError


class UnknownModel(OvernightError):
    """No model of this name."""

    def __init__(self, model: str, known: tuple[str, ...]) -> None:
        super().__init__(f"no model is called {model!r}; known are: {', '.join(known) or 'none'}")


class SourceUnavailable(OvernightError):
    """No place has the data of a source."""

    def __init__(self, what: str, tried: Sequence[str], remedy: str) -> None:
        super().__init__(f"{what} was not found; tried {'; '.join(tried)}. To continue, {remedy}")
