"""A monitor record as lines of text, for terminals."""

from collections.abc import Sequence

from overnight.store.registry.manifest import Measurement
from overnight.store.registry.monitoring import Alarm, LiveQuality, MonitorRecord

_DRIFT = {"inputs", "answers", "confidence"}
_SHOWN_ALARMS = 3


def summary_lines(record: MonitorRecord, holdout: Measurement | None = None) -> list[str]:
    """The record in about ten lines of text, for a terminal."""
    since = f"{record.since:%Y-%m-%d %H:%M}" if record.since else "the beginning"
    state = "drifted" if record.alarms else "healthy"
    lines = [
        f"{record.model}: {state}, record {record.sequence} of {record.at:%Y-%m-%d %H:%M} UTC",
        f"period       {since} to {record.until:%Y-%m-%d %H:%M} UTC",
        f"champion     {record.champion or 'none'}",
    ]
    whole = whole_quality(record)
    if whole is not None:
        measured = headline(whole)
        on_holdout = f"; {holdout.value:.4g} on the holdout" if holdout else ""
        live = f"{measured.metric} {figure(measured)}{on_holdout}" if measured else "no label"
        lines.append(f"live         {live}")
        lines.append(
            f"coverage     labels of {whole.labels:,} of {whole.answers:,} answers "
            f"({whole.coverage:.1%})"
        )
        if whole.estimated is not None:
            doubt = "; not to be trusted while drift alarms" if drifts(record) else ""
            lines.append(f"estimate     accuracy {whole.estimated:.4f} without labels{doubt}")
    lines += [f"alarm        {alarm_line(alarm)}" for alarm in record.alarms[:_SHOWN_ALARMS]]
    if record.labels:
        counts = ", ".join(f"{name} {count:,}" for name, count in record.labels.items() if count)
        lines.append(f"labels       {counts or 'none'}")
    lines.append(f"follows      {record.consequence.action}: {record.consequence.reason}")
    return lines


def earlier_alarm(records: Sequence[MonitorRecord]) -> list[str]:
    """The newest record with an alarm, in short, where the newest of all has none.

    A version that was trained because of an alarm has none: what happened is in the record before.
    """
    alarmed = next((record for record in records if record.alarms), None)
    if alarmed is None or alarmed is records[0]:
        return []
    when = f"record {alarmed.sequence} of {alarmed.at:%Y-%m-%d %H:%M} UTC"
    return [
        f"the newest alarm: {when}, champion {alarmed.champion or 'none'}",
        *(f"alarm        {alarm_line(alarm)}" for alarm in alarmed.alarms[:_SHOWN_ALARMS]),
        f"follows      {alarmed.consequence.action}: {alarmed.consequence.reason}",
    ]


def alarm_line(alarm: Alarm) -> str:
    """An alarm in one line."""
    return f"{alarm.message}, since {alarm.since:%Y-%m-%d %H:%M} UTC"


def whole_quality(record: MonitorRecord) -> LiveQuality | None:
    """The champion's quality over all rows."""
    own = (q for q in record.quality if q.version == record.champion and not q.slice)
    return next(own, None)


def drifts(record: MonitorRecord) -> bool:
    """Whether drift alarms, so that the estimate without labels says nothing."""
    return any(alarm.kind in _DRIFT for alarm in record.alarms)


def headline(quality: LiveQuality) -> Measurement | None:
    """The first metric over all rows, by which the model is judged."""
    return next(iter(quality.measurements), None)


def figure(measured: Measurement) -> str:
    """A value with its interval, if it has one."""
    interval = f" ({measured.low:.4g} to {measured.high:.4g})" if measured.low is not None else ""
    return f"{measured.value:.4g}{interval}"
