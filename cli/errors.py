"""Errors of what the command line asks serving.

store.errors.OvernightError
├── ServingUnavailable      serving did not answer: start it
└── ServingRefused          serving answered no: says to what and why
"""

from store.errors import OvernightError


class ServingUnavailable(OvernightError):
    """Serving did not answer."""

    def __init__(self, url: str, why: str) -> None:
        super().__init__(
            f"serving does not answer at {url} ({why}); start it by `overnight up`, or point "
            "OVERNIGHT_SERVING_URL at one that runs"
        )


class ServingRefused(OvernightError):
    """Serving answered, and not with a prediction."""
