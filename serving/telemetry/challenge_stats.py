"""Statistics of a challenge on this host, and the rule by which a challenger is withdrawn."""

import math
from collections.abc import Iterable

from overnight.store.registry.challenge_terms import Mode, Terms
from overnight.store.values import Value

# Two-sided 95 %.
_Z = 1.959964
# Fewer pairs of times say nothing yet about which of two versions is the slower one.
MINIMUM_TIMED = 25


class ChallengeStats(Value):
    """The counters of one challenge, of one worker or of all workers of a host together.

    `requests` were answered by the challenger or should have been, `errors` of them were not.
    Of `compared` requests, `disagreements` sums the shares of rows that the champion answers
    otherwise. `dropped` found the queue of comparisons full. `log_slowdown` sums, over `timed`
    requests that both versions answered one right after the other, the natural logarithms of the
    challenger's thread-CPU seconds over the champion's.
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

    @property
    def slowdown(self) -> float | None:
        """How many times the champion's CPU time an answer takes: the geometric mean.

        It is the mean that ratios have (Fleming & Wallace 1986), and one hiccup hardly moves it.
        """
        return math.exp(self.log_slowdown / self.timed) if self.timed else None


_COUNTED = ("requests", "errors", "compared", "disagreements", "dropped", "timed", "log_slowdown")


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

    Shares count once the lower end of their 95 % interval is over the bound, so that bad luck is
    no reason; nothing counts before `minimum_requests`.
    """
    minimum = terms.minimum_requests
    low = lower_bound(stats.errors, stats.requests)
    if stats.requests >= minimum and low > terms.maximum_error_share:
        return _share_reason(
            f"failed on {stats.errors} of {stats.requests} requests", low, terms.maximum_error_share
        )
    low = lower_bound(stats.disagreements, stats.compared)
    if stats.compared >= minimum and low > terms.maximum_disagreement_share:
        return _share_reason(
            f"answered {stats.disagreements:g} of {stats.compared} requests otherwise than the "
            "champion",
            low,
            terms.maximum_disagreement_share,
        )
    slowdown = stats.slowdown
    is_timed = stats.compared >= minimum and stats.timed >= MINIMUM_TIMED
    if is_timed and slowdown is not None and slowdown > terms.maximum_slowdown:
        return (
            f"took {slowdown:.2f} times the champion's CPU time over {stats.timed} requests; at "
            f"most {terms.maximum_slowdown:g} times is allowed"
        )
    return None


def lower_bound(count: float, n: int) -> float:
    """The lower end of the 95 % score interval of a share (Wilson 1927).

    Requests that count in part vary less than such that count wholly or not at all, so for them
    it is cautious.
    """
    if n == 0:
        return 0.0
    share, z2 = min(count / n, 1.0), _Z * _Z
    middle = share + z2 / (2 * n)
    spread = _Z * math.sqrt(share * (1 - share) / n + z2 / (4 * n * n))
    return max((middle - spread) / (1 + z2 / n), 0.0)


def _share_reason(what: str, low: float, bound: float) -> str:
    return f"{what}: at least {low:.1%} with 95 % confidence, at most {bound:.1%} is allowed"
