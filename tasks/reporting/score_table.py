"""Scores told: the part of a run's card that says how good the version that serves still is."""

from collections.abc import Sequence

from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Measurement
from overnight.tasks.reporting.markdown import table

_SHOWN = 14


def score_line(score: Score) -> str:
    """One score as a line of a log tells it."""
    measured = score.headline
    if measured is None:
        return f"{score.arrival}: nothing measured over {score.n:,} rows"
    beside = f"; {score.holdout.value:.4g} on the holdout" if score.holdout else ""
    return f"{score.arrival}: {measured.metric} {_figure(measured)} over {score.n:,} rows{beside}"


def score_table(scores: Sequence[Score]) -> str:
    """The newest scores as Markdown, beside what the holdout had promised."""
    rows = []
    for score in scores[-_SHOWN:]:
        measured = score.headline
        if measured is None:
            continue
        promised = _figure(score.holdout) if score.holdout else ""
        rows.append((score.arrival, measured.metric, _figure(measured), promised, f"{score.n:,}"))
    if not rows:
        return ""
    version = scores[-1].version
    header = ("arrival", "metric", "live", "on the holdout", "rows")
    told = f"How {version} answered what arrived, before anything learned from it.\n\n"
    return "## What serves, on what arrived\n\n" + told + table(header, rows)


def _figure(measured: Measurement) -> str:
    interval = f" ({measured.low:.4g} to {measured.high:.4g})" if measured.low is not None else ""
    return f"{measured.value:.4g}{interval}"
