"""Outcomes of runs: how a run ended, and how its state in Prefect carries that.

Prefect's lists find runs by the names of its own states, so a run that ended is *Completed*,
*Failed* or *Cancelled* there. The outcome is the beginning of the state's message, the end
of the run's name, and one of its tags. Everything that needs it reads it here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, get_args

Outcome = Literal[
    "Promoted",
    "UpToDate",
    "NothingNew",
    "Ingested",
    "Accepted",
    "Excluded",
    "Refused",
    "Rejected",
    "AwaitingApproval",
    "Superseded",
    "RolledBack",
    "Challenging",
    "Stopped",
    "Unconfirmed",
    "SourceFailed",
    "Reproduced",
    "Differs",
    "Tuned",
    "Kept",
    "Healthy",
    "Drifted",
    "Scored",
    "Denied",
    "InvalidRequest",
    "Summarized",
    "Delivered",
    "Undelivered",
]
OUTCOMES: frozenset[str] = frozenset(get_args(Outcome))
# Somebody has to act: no replica confirmed or refused in time, no row came, nobody was reached.
RED: frozenset[str] = frozenset({"Unconfirmed", "SourceFailed", "Undelivered"})
# The request itself was wrong: nothing was done, and only who requested it can change that.
GREY: frozenset[str] = frozenset({"Denied", "InvalidRequest"})
# What a person does about an outcome: on cards, in reports and in notifications.
TO_DO: Mapping[str, str] = {
    "Refused": "The champion continues to serve. Read the card of the run: it has every value and "
    "its bound.",
    "AwaitingApproval": "Decide: nothing is promoted until a person does.",
    "RolledBack": "The version before it serves. Find out why before you promote it again.",
    "Unconfirmed": "No serving host confirmed it in time: check that serving runs.",
    "SourceFailed": "Nothing came in: check the address and the credentials of the source.",
    "Superseded": "Nothing: another version became champion meanwhile.",
    "Denied": "Request it by the `overnight` command, which has a token. Nothing was done.",
    "InvalidRequest": "Correct what the message names. Nothing was done.",
}
# The names that Prefect gives to these states; a state of another name has said all by that.
_UNNAMED = frozenset({"Completed", "Failed", "Cancelled"})
_SEPARATOR = ": "


@dataclass(frozen=True)
class OutcomeOfRun:
    """How a run ended, or in which state it is: one of ours, or the name of Prefect's state."""

    outcome: str
    message: str = ""

    def __str__(self) -> str:
        return f"{self.outcome}{_SEPARATOR}{self.message}" if self.message else self.outcome


def read(name: str | None, message: str | None) -> OutcomeOfRun:
    """The outcome in the name and message of a state.

    Releases before this one named the state itself by the outcome: those runs are read as well.
    """
    name, message = name or "", message or ""
    outcome, _, rest = message.partition(_SEPARATOR)
    if name in _UNNAMED and outcome in OUTCOMES:
        return OutcomeOfRun(outcome, rest)
    return OutcomeOfRun(name, message)


def of_state(state: Mapping[str, Any] | None) -> OutcomeOfRun:
    """As `read`, of a state as Prefect's API has it; None is a run without a state."""
    return read(state["name"], state.get("message")) if state else OutcomeOfRun("")


def without_outcome(name: str) -> str:
    """The name of a run without the outcome that an earlier try appended to it."""
    given, _, last = name.rpartition(" ")
    return given if given and last in OUTCOMES else name
