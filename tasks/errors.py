"""Errors of the steps of a run.

overnight.store.errors.OvernightError
├── StepFailed              a child process of a step died or ran out of time
├── NotReproducible         the data of a version is gone: restore it
├── HoldoutNotRenewed       the rows cannot judge, or need not: see its reason
├── NotDelivered            a message reached nobody by this channel: see its settings
└── Unlearnable             a snapshot has nothing to learn an input from: see its arrival
"""

from overnight.store.errors import OvernightError


class NotReproducible(OvernightError):
    """The rows that a version was made from are no longer in the dataset."""

    def __init__(self, where: str, *, expected: str, found: str) -> None:
        super().__init__(
            f"{where} cannot be reproduced: expected {expected}, found {found}; "
            "restore the dataset that its manifest names"
        )


class StepFailed(OvernightError):
    """A step's child process failed or ran out of time."""


class Unlearnable(OvernightError):
    """The training rows give no vocabulary, pieces or statistics; the run ends Refused."""


class HoldoutNotRenewed(OvernightError):
    """A holdout was left as it is."""

    def __init__(self, model: str, why: str) -> None:
        super().__init__(f"the holdout of {model} was not renewed: {why}")


class NotDelivered(OvernightError):
    """A channel did not take a message; unless `is_final`, another try may succeed.

    The receiver may name the seconds to wait for that.
    """

    def __init__(self, why: str, *, is_final: bool, retry_after_seconds: float = 0) -> None:
        self.is_final, self.retry_after_seconds = is_final, retry_after_seconds
        super().__init__(why)
