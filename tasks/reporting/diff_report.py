"""The report of `overnight diff`: how two versions of a model differ, as Markdown."""

from collections.abc import Mapping

from overnight.models.definition import ModelDefinition
from overnight.tasks.evaluation.diff import Difference
from overnight.tasks.reporting.markdown import picture, table


def render_diff(
    found: Difference, definition: ModelDefinition, pictures: Mapping[str, bytes]
) -> str:
    """Two versions side by side, in Markdown."""
    axes = [
        ("**differs**" if axis.changed else "same", axis.name, axis.detail) for axis in found.axes
    ]
    metrics = [
        (one.metric, one.slice or "whole holdout", f"{one.value:.4f}", f"{other.value:.4f}")
        for one, other in found.measured
    ]
    examples = [(str(one.row), one.label, one.first, one.second) for one in found.examples]
    told = f"{found.changed:,} of {found.rows:,} holdout rows are answered otherwise: "
    told += f"{found.gained:,} only the second answers rightly, {found.lost:,} only the first."
    parts = [
        f"# {definition.title}: {found.first} and {found.second}",
        table(("", "axis", ""), axes),
        table(("metric", "slice", "first", "second"), metrics),
        told,
        *(picture(title, body) for title, body in pictures.items()),
        table(("row", "truth", "first", "second"), examples) if examples else "",
    ]
    return "\n\n".join(part for part in parts if part)
