"""The picture of the demonstration cuts no interval off, and its legend covers nothing."""

from pathlib import Path

import matplotlib as mpl
import pytest
from matplotlib.figure import Figure

from benchmarks.monitoring.demo.picture import DayOfDemo, draw, interval


@pytest.mark.parametrize("right", [270, 150, 30])
def test_intervals_are_within_the_axis_and_apart_from_the_legend(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, right: int
) -> None:
    drawn: list[Figure] = []
    save = Figure.savefig
    monkeypatch.setattr(
        Figure, "savefig", lambda self, *a, **b: (drawn.append(self), save(self, *a, **b))
    )
    days = [
        DayOfDemo(1, "Census", "a", 300, 300, "Healthy"),
        DayOfDemo(2, "students", "a", right, 300, "Drifted"),
        DayOfDemo(3, "students", "b", 290, 300, "Healthy"),
    ]

    with mpl.rc_context():
        draw(days, "quality", tmp_path / "days.svg")

    (panel,) = drawn[0].axes
    low, high = panel.get_ylim()
    assert low < 100 * interval(right, 300)[0] - 1
    assert high > 100
    legend = panel.get_legend()
    assert legend is not None
    assert legend.get_window_extent().y0 >= panel.get_window_extent().y1 - 1
