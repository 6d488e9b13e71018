"""Live scores of the champion, as a Markdown table and as a line of a log."""

from collections.abc import Sequence

from overnight.store.printable import figure
from overnight.store.registry.live_scores import Score
from overnight.store.registry.manifest import Measurement
from overnight.tasks.reporting.markdown import table

# Two weeks of nightly arrivals.
_ROWS = 14


def score_line(score: Score) -> str:
    """One score as a line of a log."""
    headline = score.headline
    if headline is None:
        return f"{score.arrival}: nothing measured over {score.n:,} rows"
    holdout = f"; {figure(score.holdout.value)} on the holdout" if score.holdout else ""
    return f"{score.arrival}: {headline.metric} {_figure(headline)} over {score.n:,} rows{holdout}"


def score_table(scores: Sequence[Score]) -> str:
    """The newest scores in Markdown, each compared with the same metric on the holdout."""
    rows = []
    for score in scores[-_ROWS:]:
        headline = score.headline
        if headline is None:
            continue
        holdout = _figure(score.holdout) if score.holdout else ""
        rows.append((score.arrival, headline.metric, _figure(headline), holdout, f"{score.n:,}"))
    if not rows:
        return ""
    header = ("arrival", "metric", "live", "on the holdout", "rows")
    text = f"{scores[-1].version} on each arrival, before any version learned from it.\n\n"
    return text + table(header, rows)


def _figure(measured: Measurement) -> str:
    if measured.low is None or measured.high is None:
        return figure(measured.value)
    return f"{figure(measured.value)} ({figure(measured.low)} to {figure(measured.high)})"
