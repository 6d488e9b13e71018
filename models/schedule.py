"""When a model is retrained by itself, and how long its steps may take."""

import re
from dataclasses import dataclass
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from overnight.store.errors import ConfigurationError

# Minute, hour, day of the month, month, day of the week: the highest number of each.
_FIELDS = {"minute": 59, "hour": 23, "day": 31, "month": 12, "weekday": 7}
_FIELD = re.compile(r"[0-9A-Za-z*/,#?-]+")
_FIRST_NIGHT_MINUTE, _MINUTES_BETWEEN, _MINUTES_OF_A_DAY = 120, 30, 24 * 60
_HOURS = 24
# A number, a range of them, or all; and of these each so-manieth.
_ITEM = re.compile(r"(?:(\d+)(?:-(\d+))?|(\*))(?:/(\d+))?")
_UNSHIFTABLE = "0 1 * * *"


@dataclass(frozen=True)
class Schedule:
    """The times of a model's nightly run.

    Attributes:
        cron: minute, hour, day of the month, month and weekday; empty for every night, each such
            model half an hour after the one before it, from 02:00.
        time_zone: in which these are meant, by its IANA name, such as `Europe/Berlin`.
    """

    cron: str = ""
    time_zone: str = "UTC"

    def __post_init__(self) -> None:
        """Check both.

        Raises:
            ConfigurationError: naming the part that is wrong.
        """
        try:
            ZoneInfo(self.time_zone)
        except (ZoneInfoNotFoundError, ValueError, OSError):
            raise ConfigurationError(
                f"schedule: no time zone is called {self.time_zone!r}; expected an IANA name "
                "such as Europe/Berlin"
            ) from None
        parts = self.cron.split()
        if parts and len(parts) != len(_FIELDS):
            raise ConfigurationError(
                f"schedule: expected five fields ({', '.join(_FIELDS)}), found {self.cron!r}; "
                'every night at two is "0 2 * * *"'
            )
        for part, (name, highest) in zip(parts, _FIELDS.items(), strict=bool(parts)):
            numbers = re.findall(r"\d+", part.partition("/")[0])
            if not _FIELD.fullmatch(part) or any(int(number) > highest for number in numbers):
                raise ConfigurationError(
                    f"schedule: the {name} of {self.cron!r} is {part!r}; expected * or numbers up "
                    f"to {highest}, such as 1, 1-5, 1,3 or */2"
                )

    def at(self, place: int) -> str:
        """The cron expression of the model at this place among those without one of their own."""
        if self.cron:
            return self.cron
        minutes = (_FIRST_NIGHT_MINUTE + _MINUTES_BETWEEN * place) % _MINUTES_OF_A_DAY
        return f"{minutes % 60} {minutes // 60} * * *"

    def hour_before(self, place: int) -> "Schedule":
        """Every day an hour before each time of `at(place)`, in the same time zone.

        On every day, also where the model is trained on some days only. Of several minutes in an
        hour the first counts. At 01:00 where the hours are not numbers, or all of them are meant.
        """
        minute, hour, *_ = self.at(place).split()
        minutes, hours = (_numbers(field, highest) for field, highest in ((minute, 59), (hour, 23)))
        if not minutes or not hours or len(hours) == _HOURS:
            return Schedule(_UNSHIFTABLE, self.time_zone)
        earlier = sorted((each - 1) % _HOURS for each in hours)
        return Schedule(f"{min(minutes)} {','.join(map(str, earlier))} * * *", self.time_zone)


def _numbers(field: str, highest: int) -> frozenset[int]:
    """The numbers that a field of a cron expression stands for; none where it has other signs."""
    numbers: set[int] = set()
    for item in field.split(","):
        parts = _ITEM.fullmatch(item)
        if parts is None or parts[4] == "0":
            return frozenset()
        first = int(parts[1] or 0)
        # 5/10 is every tenth from the fifth on.
        last = int(parts[2] or (highest if parts[3] or parts[4] else first))
        numbers |= set(range(first, last + 1, int(parts[4] or 1)))
    return frozenset(numbers)


@dataclass(frozen=True)
class StepLimits:
    """Seconds that steps of a model may take; None for what the settings of the machine say."""

    fit_seconds: float | None = None
    rehearse_seconds: float | None = None

    def __post_init__(self) -> None:
        """Check that they are positive.

        Raises:
            ConfigurationError: naming the limit.
        """
        for name in ("fit_seconds", "rehearse_seconds"):
            seconds = getattr(self, name)
            if seconds is not None and seconds <= 0:
                raise ConfigurationError(
                    f"limits: {name} is {seconds}; expected more than 0, or None for the setting "
                    f"OVERNIGHT_{name.upper()}"
                )
