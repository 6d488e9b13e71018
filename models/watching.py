"""What of a model's answers is logged, how their truth arrives, and when that raises an alarm."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pyarrow as pa

from overnight.models.examples import Array
from overnight.models.schedule import Schedule
from overnight.store.errors import ConfigurationError


@dataclass(frozen=True)
class PredictionLog:
    """What serving records of each answer; None in `Watching` records nothing.

    Attributes:
        share: of the requests, between 0 and 1; a request is recorded with all of its rows.
        inputs: their values, a digest of them, or nothing. Drift of inputs, and learning from
            feedback, need the values.
        clients: the key of the client as it is, a digest of it, or nothing. Rows of a client are
            found for deletion by either of the first two.
        keep_days: after which rows are deleted.
    """

    share: float = 1.0
    inputs: Literal["values", "digest", "none"] = "values"
    clients: Literal["key", "digest", "none"] = "digest"
    keep_days: int = 90

    def __post_init__(self) -> None:
        """Check the numbers.

        Raises:
            ConfigurationError: naming the one that is wrong.
        """
        if not 0 < self.share <= 1:
            raise ConfigurationError(
                f"prediction log: share is {self.share}; expected more than 0 and at most 1, "
                "or log=None to record nothing"
            )
        if self.keep_days < 1:
            raise ConfigurationError(
                f"prediction log: keep_days is {self.keep_days}; expected 1 or more"
            )


# From the logged inputs [n, …] by name, and the truth [n, …] by output, to rows of the source, with
# its columns and `digest`. Categories have their names, and None where they are missing; a truth is
# as labels of examples are: the index of a class, or a number.
LabelledRows = Callable[[Mapping[str, Array], Mapping[str, Array]], pa.Table]


@dataclass(frozen=True)
class ArrivedTruths:
    """The truth of n logged answers that an arrival brought.

    Attributes:
        known: whether the arrival has the truth of an answer, bool [n].
        truths: by output, [n, …]; of the rows that are not known any value.
    """

    known: Array
    truths: Mapping[str, Array]


# From the logged inputs [n, …] by name, as for `LabelledRows`, the rows before an arrival, and the
# arrival's rows.
ArrivalTruths = Callable[[Mapping[str, Array], pa.Table, pa.Table], ArrivedTruths]


@dataclass(frozen=True)
class Feedback:
    """How labels of answers are taken.

    Attributes:
        rows: makes rows of the dataset from answers and their labels; without it, labels measure
            quality and nothing is learned from them.
        from_arrivals: finds the truth of logged answers in new arrivals, where that is how it
            comes, as for forecasts.
        window_days: how long after the answer a label counts for its day. A later one is learned
            from and in no metric; a label of an unknown request waits as long for it.
        labels_per_client_daily: what one client may send in a day.
        sure: labels that contradict answers of at least this confidence are doubtful.
        doubtful_share: of a client's labels, above which all of its labels of that batch are
            parked for a person, as shifted arrivals are.
    """

    rows: LabelledRows | None = None
    from_arrivals: ArrivalTruths | None = None
    window_days: float = 7.0
    labels_per_client_daily: int = 10_000
    sure: float = 0.999
    doubtful_share: float = 0.2


@dataclass(frozen=True)
class Watching:
    """How a model is watched while it serves, and what follows from an alarm by itself.

    Attributes:
        log: what is recorded of each answer.
        feedback: how labels are taken; None refuses them.
        schedule: when the monitor runs. By default every day an hour before the model's own nightly
            run, in its time zone, so that an alarm is known when that starts; at 01:00 UTC where
            the model has no schedule. None for only when somebody starts it.
        labels_per_false_alarm: the mean number of labels until quality raises a false alarm.
        nights_per_false_alarm: the mean number of days until drift or skew raises a false alarm.
        same_population: whether the rows that are ingested on a day and the requests of that day
            are draws of one population, in rows of their own: as where one application stores what
            it asks about. Then a difference between them is skew, and the monitor looks for it. It
            needs the inputs' values in the log. Of digits it does not hold: other people draw on
            the page than wrote the arrivals.
        retrains: whether an alarm starts a retraining by itself.
        pause_days: the least time between two retrainings that alarms start.
        rolls_back: whether a version that is significantly worse than the one before it is rolled
            back by itself; of a model with manual approval a person is notified instead.
    """

    log: PredictionLog | None = field(default_factory=PredictionLog)
    feedback: Feedback | None = field(default_factory=Feedback)
    schedule: Schedule | Literal["before the nightly run"] | None = "before the nightly run"
    labels_per_false_alarm: int = 100_000
    nights_per_false_alarm: int = 400
    same_population: bool = False
    retrains: bool = True
    pause_days: float = 1.0
    rolls_back: bool = True

    def __post_init__(self) -> None:
        """Check that what is compared is recorded.

        Raises:
            ConfigurationError: requests and arrivals are to be compared, and no inputs are logged.
        """
        policy = self.log.inputs if self.log else "none"
        if self.same_population and policy != "values":
            recorded = f'PredictionLog(inputs="{policy}")' if self.log else "log=None"
            raise ConfigurationError(
                f"watching: same_population=True compares the inputs of requests, and {recorded} "
                'records no values of them; expected inputs="values", or same_population=False'
            )
