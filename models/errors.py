"""Errors of the catalogue and its sources.

overnight.store.errors.OvernightError
├── UnknownModel            not in the catalogue
├── SourceUnavailable       no place has the data: try again, or name a folder
├── UnusableSource          a source answers, but not as declared: mend it or the declaration
└── UnusableNetwork         a file holds no network that can be served: save it otherwise
"""

from collections.abc import Sequence
from pathlib import Path

from overnight.store.errors import OvernightError


class UnknownModel(OvernightError):
    """No model of this name."""

    def __init__(
        self,
        model: str,
        known: tuple[str, ...],
        *,
        example: bool = False,
        project: Path | None = None,
    ) -> None:
        remedy = f"; it is an example: OVERNIGHT_MODELS={model} chooses it" if example else ""
        if project is not None and not known:
            remedy += f"; `overnight new NAME` adds one to the project in {project}"
        super().__init__(
            f"no model is called {model!r}; known are: {', '.join(known) or 'none'}{remedy}"
        )


class SourceUnavailable(OvernightError):
    """No place has the data of a source."""

    def __init__(self, what: str, tried: Sequence[str], remedy: str) -> None:
        super().__init__(f"{what} was not found; tried {'; '.join(tried)}. To continue, {remedy}")


class UnusableSource(OvernightError):
    """A source answers, but its rows cannot be taken; nothing was landed.

    Credentials that are refused are of this kind: trying again may lock an account.
    """

    def __init__(self, what: str, *, expected: str, found: str, remedy: str) -> None:
        super().__init__(f"{what}: expected {expected}, found {found}. To continue, {remedy}")


def as_reported(kind: str, message: str) -> OvernightError | None:
    """An error of a source that another process raised, or None for other kinds."""
    for known in (SourceUnavailable, UnusableSource):
        if kind == known.__name__:
            error = known.__new__(known)
            OvernightError.__init__(error, message)
            return error
    return None


class UnusableNetwork(OvernightError):
    """A file holds no network that can be served or trained."""

    def __init__(self, file: str, problem: str, remedy: str) -> None:
        super().__init__(f"{file}: {problem}; {remedy}")
