"""Pictures: what is drawn is drawn in time that does not depend on the rows."""

import ast
import io
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

import overnight
from overnight.models.plots import plots

PACKAGE = Path(overnight.__file__).parent
ROOMS = ("models", "tasks", "cli", "flows")


@pytest.mark.parametrize("room", ROOMS)
def test_no_picture_searches_for_the_place_of_its_legend(room: str) -> None:
    # The search takes seconds on many points, and warns then.
    searching = [
        f"{path.relative_to(PACKAGE)}:{call.lineno}"
        for path in sorted((PACKAGE / room).rglob("*.py"))
        for call in ast.walk(ast.parse(path.read_text()))
        if isinstance(call, ast.Call)
        and isinstance(call.func, ast.Attribute)
        and call.func.attr == "legend"
        and not (isinstance(call.func.value, ast.Name) and call.func.value.id == "drawn")
        and "loc" not in {keyword.arg for keyword in call.keywords}
    ]

    assert searching == []


def test_a_legend_covers_nothing_of_its_panel() -> None:
    figure = Figure(figsize=(4, 3), layout="constrained")
    axes = figure.subplots()
    # All four corners are taken, so that any place inside covers points.
    across, up = np.meshgrid(np.linspace(0, 1, 30), np.linspace(0, 1, 30))
    axes.plot(across.ravel(), up.ravel(), "o", label="points")

    plots.legend(axes)

    image = Image.open(io.BytesIO(plots.png(figure)))
    (legend,) = figure.legends
    covered, panel = legend.get_window_extent(), axes.get_window_extent()
    assert image.width == 440
    assert covered.y0 >= panel.y1
    assert covered.y1 <= figure.bbox.y1


def test_a_panel_without_names_needs_no_legend() -> None:
    figure = Figure(layout="constrained")
    figure.subplots()

    plots.legend(figure.axes[0])

    assert plots.png(figure).startswith(b"\x89PNG")
