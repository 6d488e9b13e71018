"""What was measured of a candidate: the values that gates listen to."""

from dataclasses import dataclass

from store.manifest import Measurement


@dataclass(frozen=True)
class Paired:
    """Candidate and champion asked the same rows of one slice: who was right where.

    Only the rows on which they differ say anything about which is better.
    """

    slice: str
    both: int
    only_candidate: int
    only_champion: int
    neither: int

    @property
    def n(self) -> int:
        return self.both + self.only_candidate + self.only_champion + self.neither


@dataclass(frozen=True)
class Rehearsal:
    """What the real serving application answered and cost, asked over HTTP.

    `largest_difference` is between its answers and the trained network's, over all outputs of
    the first tensor; `changed_answers` counts rows whose most probable class differs.
    """

    n: int
    largest_difference: float
    changed_answers: int
    p50_ms: float
    p99_ms: float
    resident_mb: float
    size_mb: float


@dataclass(frozen=True)
class Evaluation:
    """A candidate's metrics on the holdout, and its comparison with the champion on those rows.

    `champion` is None while nothing serves; `paired` is then empty.
    """

    measurements: tuple[Measurement, ...]
    champion: str | None = None
    champion_measurements: tuple[Measurement, ...] = ()
    paired: tuple[Paired, ...] = ()
    rehearsal: Rehearsal | None = None

    def measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The candidate's measurement of a metric on a slice, if it was taken."""
        return _find(self.measurements, metric, slice)

    def champion_measured(self, metric: str, slice: str = "") -> Measurement | None:
        """The champion's measurement, tonight, on the same rows."""
        return _find(self.champion_measurements, metric, slice)


def _find(measurements: tuple[Measurement, ...], metric: str, slice: str) -> Measurement | None:
    for measurement in measurements:
        if (measurement.metric, measurement.slice) == (metric, slice):
            return measurement
    return None
