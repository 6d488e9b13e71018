"""Draws the results as an SVG that follows the reader's light or dark theme."""

import io
from dataclasses import dataclass
from pathlib import Path

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import NullFormatter, NullLocator

from benchmarks.serving.peers.report import Results, Row, ratio
from benchmarks.serving.peers.servers import OURS

# Text is drawn in this and then replaced by the theme's own colour.
TEXT = "#010203"
OURS_COLOUR, PEER_COLOUR, BARE_COLOUR = "#2f81f7", "#8b949e", "#3fb950"
THEME = "<style>svg{color:#1f2328}@media (prefers-color-scheme: dark){svg{color:#e6edf3}}</style>"


@dataclass(frozen=True)
class Bar:
    """One bar, as it is called and coloured."""

    label: str
    value: float
    colour: str


def draw(results: Results, path: Path) -> None:
    """CPU a request of every lane; memory and CPU until the first answer of every server."""
    lanes = sorted(results.rows, key=lambda row: row.cpu_us, reverse=True)
    servers = sorted(
        {row.server: row for row in lanes}.values(), key=lambda row: row.worker_mb, reverse=True
    )
    figure = Figure(figsize=(9.6, 0.34 * (len(lanes) + 1) + 1.3), layout="constrained")
    wide, memory_axes, cold = figure.subplots(1, 3, width_ratios=(2.2, 1, 1))
    _cpu(wide, results, lanes)
    _bars(memory_axes, servers, [row.worker_mb for row in servers], "MB a worker")
    by_cold = sorted(servers, key=lambda row: row.cold_cpu_seconds, reverse=True)
    _bars(cold, by_cold, [row.cold_cpu_seconds for row in by_cold], "cold start, CPU s")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(_svg(figure))


def _cpu(axes: Axes, results: Results, rows: list[Row]) -> None:
    bars = [Bar(f"{row.title}, {row.lane}", row.cpu_us / 1000, _colour(row)) for row in rows]
    if bare := results.bare.get("litert"):
        bars.append(Bar("the network alone", bare / 1000, BARE_COLOUR))
    ours = results.row(OURS.name, "JSON")
    times = {} if ours is None else {n: ratio(row, ours) for n, row in enumerate(rows)}
    _horizontal(axes, bars, "CPU ms a request, log scale (× ours)", times)
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(NullLocator())
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_minor_formatter(NullFormatter())
    values = [bar.value for bar in bars]
    axes.set_xlim(min(values) / 2.5, max(values) * 8)


def _bars(axes: Axes, rows: list[Row], values: list[float], title: str) -> None:
    bars = [Bar(row.title, value, _colour(row)) for row, value in zip(rows, values, strict=True)]
    _horizontal(axes, bars, title, {})
    axes.set_xlim(0, max(values) * 1.35)
    axes.set_xticks([])


def _horizontal(axes: Axes, bars: list[Bar], title: str, times: dict[int, float]) -> None:
    places, values = range(len(bars)), [bar.value for bar in bars]
    drawn = axes.barh(places, values, color=[bar.colour for bar in bars], height=0.68)
    labels = [
        _rounded(bar.value) + (f" (×{_rounded(times[n])})" if n in times else "")
        for n, bar in enumerate(bars)
    ]
    axes.bar_label(drawn, labels, padding=3, fontsize=8.5, color=TEXT)
    axes.set_yticks(places, [bar.label for bar in bars], fontsize=8.5, color=TEXT)
    axes.set_title(title, loc="left", fontsize=10, color=TEXT)
    axes.tick_params(length=0)
    axes.set_ylim(-0.6, len(bars) - 0.4)
    axes.patch.set_alpha(0)
    for spine in axes.spines.values():
        spine.set_visible(False)


def _rounded(value: float) -> str:
    return f"{value:.2f}" if value < 10 else f"{value:,.0f}"


def _colour(row: Row) -> str:
    return OURS_COLOUR if row.server == OURS.name else PEER_COLOUR


def _svg(figure: Figure) -> str:
    body = io.StringIO()
    figure.patch.set_alpha(0)
    # No date and no chance in it: the same results are the same file. Text stays text.
    with rc_context({"svg.hashsalt": "peers", "svg.fonttype": "none"}):
        FigureCanvasSVG(figure).print_svg(body, metadata={"Date": None})
    text = body.getvalue().replace(TEXT, "currentColor")
    start = text.index(">", text.index("<svg")) + 1
    return text[:start] + THEME + text[start:]
