"""A test of a bound on a share that may be repeated after every request.

A fixed test promises its error rate for one look; looked at again and again, a share that is
exactly at its bound fails it sooner or later. Here the promise is for all looks together.
"""

import math

# The alternatives that are mixed, as multiples of the odds at the bound. From a little above it,
# so that a small excess is found in the end, to far above it, so that a large one is found at once.
_ODDS = (1.1, 1.25, 1.5, 2.0, 4.0, 8.0, 16.0)


def p_value(total: float, n: int, bound: float) -> float:
    """The p-value of `the true mean is at most bound`, valid however often it is looked at.

    Of n numbers between 0 and 1 that add up to `total`. Each may depend on those before it, as
    long as its mean, given those, is at most `bound`: then the p-value is ever at most alpha, at
    any n, with probability at most alpha.

    It is the inverse of a mixture of likelihood ratios, which is a supermartingale: by the
    inequality of Ville (1939) it is ever as large as 1 / alpha with probability at most alpha.
    Numbers between 0 and 1 are covered because the ratio is convex in them.
    """
    if n == 0 or bound >= 1 or total <= 0:
        return 1.0
    if bound <= 0:
        return 0.0
    total = min(total, n)
    # In logarithms: the ratios themselves overflow.
    logs = [_log_ratio(total, n, bound, odds) for odds in _ODDS]
    largest = max(logs)
    mean = largest + math.log(sum(math.exp(log - largest) for log in logs) / len(logs))
    return math.exp(-mean) if mean > 0 else 1.0


def _log_ratio(total: float, n: int, bound: float, odds: float) -> float:
    """The likelihood of the numbers at `odds` times the odds of the bound, over that at the bound.

    Of q = odds * bound / (1 - bound + odds * bound): q / bound is `odds` / scale, and
    (1 - q) / (1 - bound) is 1 / scale.
    """
    scale = 1 - bound + odds * bound
    return total * math.log(odds) - n * math.log(scale)
