"""Errors of arguments of the command line.

overnight.store.errors.OvernightError
├── AmbiguousVersion        several versions begin so: type more of the name
├── AmbiguousRun            several runs begin so: type more of the id
├── UnknownRun              Prefect has no such run: see `overnight runs`
└── WrongArgument           a request that cannot be carried out: nothing was started
"""

from collections.abc import Sequence

from overnight.store.errors import OvernightError

_SHOWN = 5


class AmbiguousVersion(OvernightError):
    """Several versions begin with the same characters."""

    def __init__(self, model: str, text: str, versions: Sequence[str]) -> None:
        super().__init__(
            f"{len(versions)} versions of {model} begin with {text!r}: {_some(versions)}; type "
            "more of the name"
        )


class AmbiguousRun(OvernightError):
    """The ids of several runs begin with the same characters."""

    def __init__(self, text: str, runs: Sequence[str]) -> None:
        super().__init__(f"{len(runs)} runs begin with {text!r}: {_some(runs)}; type more of it")


class UnknownRun(OvernightError):
    """Prefect has no run of this id or name, and no run of such a model."""

    def __init__(self, text: str) -> None:
        super().__init__(
            f"no run and no model with a run is called {text!r}; `overnight runs` lists the "
            "latest runs with their ids"
        )


class WrongArgument(OvernightError):
    """A request that could not be carried out; no run was started for it."""


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else ""
    return ", ".join(names[:_SHOWN]) + more
