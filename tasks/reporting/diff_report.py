"""The report of `overnight diff`: how two versions of a model differ, as Markdown."""

from collections.abc import Mapping

from overnight.models.definition import ModelDefinition
from overnight.tasks.evaluation.diff import Difference
from overnight.tasks.reporting.markdown import Markup, cell, picture, table


def render_diff(
    difference: Difference, definition: ModelDefinition, pictures: Mapping[str, bytes]
) -> str:
    """Two versions side by side in Markdown: lineage, metrics, and rows they answer differently."""
    axes = [
        (Markup("**differs**") if axis.changed else "same", axis.name, axis.detail)
        for axis in difference.axes
    ]
    metrics = [
        (first.metric, first.slice or "whole holdout", f"{first.value:.4f}", f"{second.value:.4f}")
        for first, second in difference.measured
    ]
    examples = [
        (str(example.row), example.label, example.first, example.second)
        for example in difference.examples
    ]
    changed = (
        f"{difference.changed:,} of {difference.rows:,} holdout rows get different answers: "
        f"{difference.gained:,} only the second answers correctly, "
        f"{difference.lost:,} only the first."
    )
    parts = [
        f"# {definition.title}: {difference.first} and {difference.second}",
        table(("", "axis", ""), axes),
        table(("metric", "slice", "first", "second"), metrics),
        changed,
        *(
            f"{cell(output)} differs on {rows:,} of {difference.rows:,} rows."
            for output, rows in difference.further
        ),
        cell(difference.left_out),
        *(picture(title, body) for title, body in pictures.items()),
        table(("row", "truth", "first", "second"), examples) if examples else "",
    ]
    return "\n\n".join(part for part in parts if part)
