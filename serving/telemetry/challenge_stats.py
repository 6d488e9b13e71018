"""Statistics of a challenge on this host, and the rule by which a challenger is withdrawn."""

import math
from collections.abc import Iterable

from overnight.serving.telemetry.sequential_test import p_value
from overnight.store.registry.challenge_terms import Mode, Terms
from overnight.store.values import Value

# Of challengers that are exactly at a bound, at most so many are ever withdrawn for it on a host.
ALPHA = 0.025
# Times the bound on the slowdown, and one over it.
SLOWDOWN_RANGE = 4.0
# Fewer pairs of times say nothing yet about which of two versions is the slower one.
MINIMUM_TIMED = 25


class ChallengeStats(Value):
    """The counters of one challenge, of one worker or of all workers of a host together.

    `requests` were answered by the challenger or should have been, `errors` of them were not.
    Of `compared` requests, `disagreements` sums the shares of rows that the champion answers
    otherwise. `dropped` found the queue of comparisons full. `log_slowdown` sums, over `timed`
    requests that both versions answered one right after the other, the natural logarithms of the
    challenger's thread-CPU seconds over the champion's, and `slowdown_shares` the same within a
    range around the bound, as shares of that range.
    """

    record: str
    model: str
    version: str
    mode: Mode
    requests: int = 0
    errors: int = 0
    compared: int = 0
    disagreements: float = 0.0
    dropped: int = 0
    timed: int = 0
    log_slowdown: float = 0.0
    slowdown_shares: float = 0.0

    @property
    def slowdown(self) -> float | None:
        """How many times the champion's CPU time an answer takes: the geometric mean.

        It is the mean that ratios have (Fleming & Wallace 1986), and one hiccup hardly moves it.
        """
        return math.exp(self.log_slowdown / self.timed) if self.timed else None


_COUNTED = (
    "requests",
    "errors",
    "compared",
    "disagreements",
    "dropped",
    "timed",
    "log_slowdown",
    "slowdown_shares",
)


def total(record: str, workers: Iterable[ChallengeStats]) -> ChallengeStats | None:
    """The sum over all workers for one challenge; None when none has counted it yet."""
    counted = [stats for stats in workers if stats.record == record]
    if not counted:
        return None
    return counted[0].model_copy(
        update={name: sum(getattr(stats, name) for stats in counted) for name in _COUNTED}
    )


def reason_to_withdraw(terms: Terms, stats: ChallengeStats) -> str | None:
    """Why a challenger has to go, with its figures; None while it keeps to its terms.

    It is asked again and again while requests come in, so each bound is tested by a test for any
    number of looks: a challenger that is exactly at a bound is withdrawn for it, ever, with
    probability at most `ALPHA`. Nothing counts before `minimum_requests`.
    """
    minimum = terms.minimum_requests
    p = p_value(stats.errors, stats.requests, terms.maximum_error_share)
    if stats.requests >= minimum and p <= ALPHA:
        what = f"failed on {stats.errors} of {stats.requests} requests"
        return _reason(what, f"{terms.maximum_error_share:.1%}", p)
    p = p_value(stats.disagreements, stats.compared, terms.maximum_disagreement_share)
    if stats.compared >= minimum and p <= ALPHA:
        what = (
            f"answered {stats.disagreements:g} of {stats.compared} requests otherwise than the "
            "champion"
        )
        return _reason(what, f"{terms.maximum_disagreement_share:.1%}", p)
    # One half is the share of a slowdown that is exactly at the bound.
    p = p_value(stats.slowdown_shares, stats.timed, 0.5)
    if stats.compared >= minimum and stats.timed >= MINIMUM_TIMED and p <= ALPHA:
        what = (
            f"took {stats.slowdown:.2f} times the champion's CPU time over {stats.timed} requests"
        )
        return _reason(what, f"{terms.maximum_slowdown:g} times", p)
    return None


def slowdown_share(log_slowdown: float, maximum: float) -> float:
    """A slowdown as a share between 0 and 1: one half at the bound, and the same above as below.

    Beyond four times the bound, or a quarter of it, it counts as that: so one hiccup of a host
    moves the mean no more than any slow answer, and the mean can be tested.
    """
    beyond = (log_slowdown - math.log(maximum)) / math.log(SLOWDOWN_RANGE)
    return min(max((1 + beyond) / 2, 0.0), 1.0)


def _reason(what: str, bound: str, p: float) -> str:
    return (
        f"{what}: at most {bound} is allowed, and a challenger that keeps to it comes to such "
        f"figures, at any time, with probability {p:.2g} at most"
    )
