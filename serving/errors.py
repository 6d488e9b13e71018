"""Errors of serving; each message says what to do.

overnight.store.errors.OvernightError
├── BadInput                an invalid request: the field, what was expected and what was found
│   ├── LimitExceeded       a request over a limit
│   ├── UnfitInputs         other inputs than those of the version: send these
│   └── WrongContentType    an unsupported content type
├── NotServed               the model or version is not loaded on this host; lists those that are
├── NothingParked           no arrival of this name was parked: see those that are
├── UnknownToken            no token, or an unknown one: send a valid one
├── AdministrationClosed    no administrators are configured: set a token
├── NoFeedback              labels of a model's answers are not taken
├── PredictionLogOff        this server records nothing: switch it on
├── TooManyRequests         a client exceeds its request rate: wait
├── TooManyLabels           a client exceeds its labels of a day: send them tomorrow
├── LabelsNotKept           the log has no room for labels: send them again
├── TooSlow                 a body that comes too slowly: send it again, faster
├── Overloaded              too many requests in flight: retry later
├── Abandoned               nobody waits for the answer any more
├── UnfitVersion            an intact version that cannot run on this host
└── LogRewound              an alias log lost or replaced records: restore the store
"""

from collections.abc import Mapping
from typing import Any

from overnight.store.errors import OvernightError


class UnfitVersion(OvernightError):
    """A version that matches its manifest, but cannot run or gives other outputs on this host."""

    def __init__(self, model: str, version: str, why: str) -> None:
        super().__init__(f"{model} {version} is not fit to serve: {why}")


class LogRewound(OvernightError):
    """The store lost or replaced an alias record that this host has already followed."""

    def __init__(self, log: str, *, known: str, found: str, memory: str) -> None:
        super().__init__(
            f"the log of {log} was rewound: expected {known}, found {found}. The loaded "
            "version still serves, but this log is not followed; restore the store's latest state. "
            f"If the store was replaced on purpose, stop serving, remove {memory} and start again"
        )


class NotServed(OvernightError):
    """A model or version that is not loaded on this host; `soon` if it may be in a moment."""

    def __init__(self, what: str, loaded: tuple[str, ...], *, soon: bool = False) -> None:
        self.soon = soon
        super().__init__(f"{what}; loaded are: {', '.join(loaded) or 'none'}")


class NothingParked(OvernightError):
    """An arrival that was never parked for review."""

    def __init__(self, model: str, arrival: str) -> None:
        super().__init__(
            f"no arrival {arrival!r:.80} of {model} is parked for review; `overnight status` names "
            f"those that are, and `overnight exclude` excludes any other"
        )


class BadInput(OvernightError):
    """An invalid request."""

    def __init__(self, field: str, *, expected: str, found: str) -> None:
        self.field, self.expected, self.found = field, expected, found
        super().__init__(f"{field}: expected {expected}, found {found}")


class LimitExceeded(BadInput):
    """A request over a limit."""


class UnfitInputs(BadInput):
    """Other inputs than those of the version; `sent` says which, as another version may take them.

    `changes` says when the inputs of the model changed, where that is known.
    """

    def __init__(
        self, field: str, *, expected: str, found: str, sent: Mapping[str, Any], changes: str = ""
    ) -> None:
        super().__init__(field, expected=expected, found=f"{found}{changes and '; '}{changes}")
        self.found, self.sent = found, sent

    def explained(self, changes: str) -> "UnfitInputs":
        """The same error, with what changed since clients could send such inputs."""
        return UnfitInputs(
            self.field, expected=self.expected, found=self.found, sent=self.sent, changes=changes
        )


class WrongContentType(BadInput):
    """An unsupported content type; the message lists the supported ones."""


class UnknownToken(OvernightError):
    """A request without a token, or with an unknown one."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}; send `Authorization: Bearer` with a valid one, "
            "which the operator of this server can issue"
        )


class AdministrationClosed(OvernightError):
    """No administrators are configured."""

    def __init__(self) -> None:
        super().__init__(
            "no administrators are configured; set OVERNIGHT_ADMIN_TOKENS_FILE or "
            "OVERNIGHT_ADMIN_TOKEN and start serving again"
        )


class TooManyRequests(OvernightError):
    """A client over its request rate."""

    def __init__(self, per_second: float, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(
            f"expected at most {per_second:g} requests a second from one client, found more; "
            f"retry in {retry_seconds:.1f} s"
        )


class NoFeedback(OvernightError):
    """Labels for a model that takes none."""

    def __init__(self, model: str) -> None:
        super().__init__(
            f"{model} takes no labels of its answers; declare `watching=Watching(feedback="
            "Feedback())` and a prediction log in its definition, and train it again"
        )


class PredictionLogOff(OvernightError):
    """Labels for a server that records nothing."""

    # Longer than a client waits by itself: only a person changes it.
    retry_seconds = 300.0

    def __init__(self) -> None:
        super().__init__(
            "no label was kept: this server records nothing; set OVERNIGHT_PREDICTION_LOG=on and "
            "start serving again (a rehearsal never records)"
        )


class TooManyLabels(OvernightError):
    """A client over its labels of a day."""

    def __init__(self, daily: int, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(
            f"expected at most {daily:,} labels a day from one client, found more; send the others "
            "after midnight UTC"
        )


class LabelsNotKept(OvernightError):
    """Labels that the log of this server could not take."""

    def __init__(self) -> None:
        super().__init__(
            "no label was kept: the log of this server is full; send them again in a few seconds"
        )


class TooSlow(OvernightError):
    """A body that comes below the least rate, or not within its time."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"the body comes too slowly: {why}; send it again over a faster connection"
        )


class Abandoned(OvernightError):
    """A request whose client cancelled it, or whose deadline has passed."""

    def __init__(self) -> None:
        super().__init__("nobody waits for the answer any more; send it again with more time")


class Overloaded(OvernightError):
    """More requests in flight than the limits allow."""

    def __init__(self, why: str) -> None:
        super().__init__(f"overloaded: {why}; retry in a few seconds")
