"""Search space: ranges of hyper-parameters that a model declares for tuning."""

from collections.abc import Mapping
from dataclasses import dataclass

from overnight.store.errors import ConfigurationError


@dataclass(frozen=True)
class Range:
    """Numbers from `low` to `high`, both included; sampled on a logarithmic scale with `log`."""

    low: float
    high: float
    log: bool = False

    def __post_init__(self) -> None:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ConfigurationError(
                f"a range goes from a lower to a higher number, above 0 when it is logarithmic; "
                f"found {self.low} to {self.high}"
            )


@dataclass(frozen=True)
class Choice:
    """One of a few numbers."""

    options: tuple[float, ...]

    def __post_init__(self) -> None:
        if len(set(self.options)) < 2:
            raise ConfigurationError(f"a choice is between numbers; found {self.options}")


Ranges = Mapping[str, Range | Choice]
