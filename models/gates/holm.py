"""Correction for multiple tests."""

from collections.abc import Sequence


def holm(p_values: Sequence[float]) -> tuple[float, ...]:
    """Adjusted p-values, in the order given (Holm 1979, the step-down form of Bonferroni's bound).

    Calling what is at most alpha significant makes a single false call with probability at most
    alpha, however many hypotheses are true and however the tests depend on each other.
    """
    count, largest = len(p_values), 0.0
    adjusted = [0.0] * count
    for rank, place in enumerate(sorted(range(count), key=lambda place: p_values[place])):
        largest = max(largest, min(1.0, (count - rank) * p_values[place]))
        adjusted[place] = largest
    return tuple(adjusted)
