"""The card of a monitor run in Markdown: outcome, live quality, distances, detectors, labels."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.monitoring import (
    Alarm,
    DetectorState,
    LiveDistance,
    LiveQuality,
    MonitorRecord,
)
from overnight.tasks.reporting.markdown import Markup, cell, table
from overnight.tasks.reporting.monitor_summary import drifts, figure, headline

_SHOWN_FEATURES = 20


@dataclass(frozen=True)
class MonitorSection:
    """What a card shows of a monitor run.

    Attributes:
        record: of this run.
        earlier: the records before it, newest first, for the course of the detectors.
        manifests: of the versions that were measured, by version, for their holdout scores.
        pictures: of features by name, Markdown with data URIs.
        problems: what could not be measured, and why.
    """

    record: MonitorRecord
    earlier: tuple[MonitorRecord, ...] = ()
    manifests: tuple[Manifest, ...] = ()
    pictures: tuple[str, ...] = ()
    problems: tuple[str, ...] = ()


def monitor_sections(section: MonitorSection) -> list[str]:
    """The parts of the card, in the order in which people ask for them."""
    record = section.record
    parts = [_consequence(record), _alarms(record.alarms), _quality(section)]
    parts += [_distances(record.distances), *section.pictures]
    parts += [_detectors(section), _labels(record)]
    if section.problems:
        listed = "\n".join(f"- {cell(problem)}" for problem in section.problems)
        parts.append(f"## Not measured\n\n{listed}")
    return [part for part in parts if part]


def _consequence(record: MonitorRecord) -> str:
    consequence = record.consequence
    if consequence.action == "nothing":
        return ""
    return f"**What follows: {consequence.action}.** {cell(consequence.reason)}"


def _alarms(alarms: Sequence[Alarm]) -> str:
    if not alarms:
        return ""
    rows = [
        (alarm.kind, alarm.feature or "all", alarm.message, f"{alarm.since:%Y-%m-%d %H:%M}")
        for alarm in alarms
    ]
    return "## Alarms\n\n" + table(("of", "feature or slice", "how far", "since (UTC)"), rows)


def _quality(section: MonitorSection) -> str:
    record, rows = section.record, []
    doubtful = drifts(record)
    for quality in record.quality:
        measured = headline(quality)
        holdout = _on_holdout(section.manifests, quality, measured)
        estimate = "" if quality.estimated is None else f"{quality.estimated:.4f}"
        rows.append(
            (
                quality.version + (" (champion)" if quality.version == record.champion else ""),
                quality.slice or "all",
                f"{measured.metric} {figure(measured)}" if measured else "no label",
                f"{holdout.value:.4g}" if holdout else "",
                f"{quality.coverage:.1%} of {quality.answers:,}"
                if math.isfinite(quality.coverage)
                else f"of {quality.labels:,} labels",
                Markup(f"~~{estimate}~~")
                if estimate and doubtful
                else Markup(f"*{estimate}*" if estimate else ""),
            )
        )
    if not rows:
        return ""
    header = ("version", "slice", "live", "on the holdout", "coverage", "estimate without labels")
    note = (
        "\n\nThe estimates are struck out: while drift alarms, the probabilities promise nothing."
        if doubtful and any(q.estimated is not None for q in record.quality)
        else ""
    )
    return "## Live quality\n\n" + table(header, rows) + note


def _distances(distances: Sequence[LiveDistance]) -> str:
    parts = []
    for against, title in (
        ("training", "Drift: the newest closed day against the reference"),
        ("today", "Skew: serving against training's rows of the same days"),
    ):
        own = [distance for distance in distances if distance.against == against]
        own.sort(key=lambda distance: (-(distance.e or 0), -distance.distance))
        rows = [
            (
                distance.kind,
                distance.feature,
                f"{distance.distance:.3f}",
                "" if distance.p is None else f"{distance.p:.3g}",
                "" if distance.e is None else f"{distance.e:.3g}",
                f"{distance.n:,}",
            )
            for distance in own[:_SHOWN_FEATURES]
        ]
        if rows:
            more = len(own) - len(rows)
            note = f"\n\n{more} more features are nearer." if more else ""
            header = ("of", "feature", "distance", "p", "e", "rows")
            parts.append(f"## {title}\n\n" + table(header, rows) + note)
    return "\n\n".join(parts)


def _detectors(section: MonitorSection) -> str:
    record = section.record
    rows = [
        (state.name, f"{state.value:.3g}", f"{state.level:,.0f}", f"{state.observations:,}",
         _course(state, section.earlier))
        for state in record.detectors
    ]  # fmt: skip
    header = ("detector", "now", "alarms at", "observations", "before, the newest first")
    return "## Detectors\n\n" + table(header, rows) if rows else ""


def _course(state: DetectorState, earlier: Sequence[MonitorRecord]) -> str:
    values = [
        before.value for each in earlier for before in each.detectors if before.name == state.name
    ]
    return ", ".join(f"{value:.2g}" for value in values[:10])


def _labels(record: MonitorRecord) -> str:
    rows = [(name, f"{count:,}") for name, count in record.labels.items()]
    return "## Labels that came\n\n" + table(("what they are", "labels"), rows) if rows else ""


def _on_holdout(
    manifests: Sequence[Manifest], quality: LiveQuality, measured: Measurement | None
) -> Measurement | None:
    own = next((each for each in manifests if each.version == quality.version), None)
    return own.measured(measured.metric, quality.slice) if own and measured else None
