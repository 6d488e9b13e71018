"""Errors of the steps of a run.

overnight.store.errors.OvernightError
├── StepFailed              a child process of a step died or ran out of time
└── NotReproducible         what a version was made from is gone: restore it
"""

from overnight.store.errors import OvernightError


class NotReproducible(OvernightError):
    """What a version was made from is no longer there."""

    def __init__(self, where: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{where} cannot be reproduced: expected {expected}, found {found}; "
            "restore the dataset that its manifest names"
        )


class StepFailed(OvernightError):
    """A step's child process died or ran out of time."""
