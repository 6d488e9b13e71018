"""The report of `overnight diff`: how two versions of a model differ, as Markdown."""

from collections.abc import Mapping

from overnight.models.definition import ModelDefinition
from overnight.store.printable import decimals
from overnight.tasks.evaluation.diff import Difference, MetricChange
from overnight.tasks.reporting.markdown import Markup, cell, picture, table


def render_diff(
    difference: Difference, definition: ModelDefinition, pictures: Mapping[str, bytes]
) -> str:
    """Two versions side by side in Markdown: lineage, metrics, and rows they answer differently."""
    axes = [
        (Markup("**yes**") if axis.changed else "no", axis.name, axis.detail)
        for axis in difference.axes
    ]
    metrics = [
        (
            first.metric,
            first.slice or "whole holdout",
            decimals(first.value),
            decimals(second.value),
            _gain(change),
            change.verdict,
        )
        for (first, second), change in zip(difference.measured, difference.changes, strict=True)
    ]
    examples = [
        (example.name or str(example.row), example.label, example.first, example.second)
        for example in difference.examples
    ]
    changed = (
        f"{difference.changed:,} of {difference.rows:,} holdout rows get different answers: "
        f"{difference.gained:,} only the second answers correctly, "
        f"{difference.lost:,} only the first."
    )
    parts = [
        f"# {definition.title}: {difference.first} and {difference.second}",
        table(("differs", "what", "details"), axes),
        table(("metric", "slice", "first", "second", "gain (95 %)", "second is"), metrics),
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


def _gain(change: MetricChange) -> str:
    if change.gain is None:
        return ""
    return f"{change.gain:+.4f} ({change.low:+.4f} to {change.high:+.4f})"
