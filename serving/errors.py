"""Errors of serving, each of which is worded for whoever sent the request or runs the server.

overnight.store.errors.OvernightError
├── BadInput                a request that cannot be answered: which field, expected and found
│   ├── TooMuch             a request over a limit
│   └── WrongContentType    a body of a kind that is not read here
├── NotServed               the model or version is not loaded here; says which are
├── UnknownToken            no token, or none that is known here: send one
├── AdministrationClosed    nobody can administer here: set a token
├── TooManyRequests         one client asks too often: wait
├── Overloaded              too much is under way here: try again a little later
├── UnfitVersion            verified, and yet it must not answer here
└── LogWentBack             an alias' log is not the one that was known: restore it
"""

from overnight.store.errors import OvernightError


class UnfitVersion(OvernightError):
    """A version that is what its manifest says, and yet must not answer here."""

    def __init__(self, model: str, version: str, why: str) -> None:
        super().__init__(f"{model} {version} is not fit to answer: {why}")


class LogRewound(OvernightError):
    """The store has forgotten, or replaced, a record of an alias that was followed from here."""

    def __init__(self, log: str, *, known: str, found: str, memory: str) -> None:
        super().__init__(
            f"the log of {log} went back: expected {known}, found {found}. What serves goes on and "
            "nothing of this log is followed; restore the store's latest state, or, if the store "
            f"was replaced on purpose, stop serving, remove {memory} and start again"
        )


class NotServed(OvernightError):
    """The model or version asked for is not loaded here. `soon` when waiting may help."""

    def __init__(self, what: str, loaded: tuple[str, ...], *, soon: bool = False) -> None:
        self.soon = soon
        super().__init__(f"{what}; loaded are: {', '.join(loaded) or 'none'}")


class BadInput(OvernightError):
    """A request that cannot be answered as it stands."""

    def __init__(self, field: str, *, expected: str, found: str) -> None:
        self.field = field
        super().__init__(f"{field}: expected {expected}, found {found}")


class LimitExceeded(BadInput):
    """A request over a limit."""


class WrongContentType(BadInput):
    """A body of a kind that is not read here; says which are."""


class UnknownToken(OvernightError):
    """A request that does not say who asks, or says it with a token nobody has."""

    def __init__(self, why: str) -> None:
        super().__init__(
            f"{why}; send `Authorization: Bearer` with one that this server knows, "
            "whoever runs it can give you one"
        )


class AdministrationClosed(OvernightError):
    """Nobody can administer here."""

    def __init__(self) -> None:
        super().__init__(
            "administration is not configured here; set OVERNIGHT_ADMIN_TOKENS_FILE or "
            "OVERNIGHT_ADMIN_TOKEN and start serving again"
        )


class TooManyRequests(OvernightError):
    """One client asks more often than it may."""

    def __init__(self, per_second: float, retry_seconds: float) -> None:
        self.retry_seconds = retry_seconds
        super().__init__(
            f"expected at most {per_second:g} requests a second of one client here, found more; "
            f"ask again in {retry_seconds:.1f} s"
        )


class Overloaded(OvernightError):
    """More is under way here than can be waited for."""

    def __init__(self, why: str) -> None:
        super().__init__(f"too much at once: {why}; ask again a little later")
