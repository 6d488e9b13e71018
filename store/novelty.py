"""When an input counts as unlike what a version learned from, as its manifest carries it."""

from pydantic import Field

from overnight.store.values import Value

# The further output of a predictor that has the score of each row, FP32 [n].
SCORE_OUTPUT = "novelty"
# What serving is asked for, beside outputs, so that it flags rows that are unlike the learned ones.
UNLIKE_TRAINING = "unlike_training"


class LearnedRange(Value):
    """The numbers of an input in the training rows, from `low` to `high`; dates in days.

    A number further than `margin` outside is unlike what was learned, and so is one below `least`,
    where there is one.
    """

    low: float
    high: float
    margin: float
    least: float | None = Field(default=None, exclude_if=lambda value: value is None)

    @property
    def bounds(self) -> tuple[float, float]:
        """The least and the greatest number that is familiar."""
        low, high = self.low - self.margin, self.high + self.margin
        return (low if self.least is None else max(low, self.least)), high


class NoveltyRule(Value):
    """When a row counts as unlike the training rows.

    By its score, which the predictor computes as a further output: above `threshold`, which a
    share of `false_flags` of `rows` rows that nothing was learned from exceed. Without a threshold
    there is no score. By a number outside of the `ranges` by input, and by a category that is not
    in its vocabulary, where the input encodes those as another.
    """

    false_flags: float
    rows: int = 0
    threshold: float | None = Field(default=None, exclude_if=lambda value: value is None)
    ranges: dict[str, LearnedRange] = Field(
        default_factory=dict, exclude_if=lambda value: not value
    )
