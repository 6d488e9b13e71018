"""`overnight diff`: two versions compared."""

import dataclasses
import importlib
import json
from pathlib import Path

from rich.console import Console
from rich.table import Table

from overnight.cli.terminal import new_table, open_console
from overnight.cli.version_names import ShortNames, resolve
from overnight.flows.run.context import ModelContext
from overnight.tasks.evaluation.diff import Difference, difference
from overnight.tasks.evaluation.published import PublishedPredictor, rows_of_both
from overnight.tasks.reporting.diff_report import render_diff
from overnight.tasks.reporting.markdown import page


def run(model: str, first: str, second: str, *, as_json: bool, html: Path | None) -> None:
    """Print the comparison of two versions; with `html` write a report with plots there.

    Raises:
        UnknownVersion, CorruptVersion, UntrustedVersion
        IncomparableVersions: there is no row of the holdout that both can answer.
    """
    context = ModelContext.open(model)
    versions = [resolve(context.bucket, model, name) for name in (first, second)]
    older, newer = (context.load_predictor(version) for version in versions)
    context = context.adopting(newer.manifest)
    # Today's holdout for both: their recorded metrics may be of different holdouts.
    holdout = context.holdout_examples()
    both = (
        PublishedPredictor.of(older.manifest, older.predictor),
        PublishedPredictor.of(newer.manifest, newer.predictor),
    )
    holdout, left_out = rows_of_both(context.definition, both, holdout)
    first_answers, second_answers = (
        version.answers(context.definition, holdout.inputs) for version in both
    )
    outputs = (first_answers, second_answers)
    diff = difference(
        context.definition,
        (older.manifest, newer.manifest),
        outputs,
        holdout=holdout,
        left_out=left_out,
    )
    if html is not None:
        draw = importlib.import_module(context.definition.pictures).disagreements
        named = dataclasses.replace(holdout, tensors=context.definition.tensors)
        plots = draw(named, *outputs) if diff.changed else {}
        report = render_diff(diff, context.definition, plots)
        html.write_bytes(page(report, title=f"{diff.first} and {diff.second}"))
    if as_json:
        print(json.dumps(dataclasses.asdict(diff), indent=2, default=_to_json))
    else:
        show(diff, open_console())
        if html is not None:
            print(f"the report is {html}")


def _to_json(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def show(diff: Difference, console: Console) -> None:
    """Print the comparison as tables."""
    short = ShortNames([diff.first, diff.second] if console.is_terminal else None)
    console.print(f"{short(diff.first)} → {short(diff.second)}", style="bold")
    table = new_table("differs", "what", "details")
    for axis in diff.axes:
        mark = "yes" if axis.changed else "no"
        table.add_row(mark, axis.name, axis.detail, style="bold" if axis.changed else "")
    console.print(table)
    console.print(_metrics(diff))
    console.print(
        f"{diff.changed:,} of {diff.rows:,} holdout rows get other answers: "
        f"{diff.gained:,} right only by the second version, {diff.lost:,} only by the first."
    )
    for output, rows in diff.further:
        console.print(f"{output} differs on {rows:,} of {diff.rows:,} rows.")
    if diff.left_out:
        console.print(diff.left_out)
    if diff.examples:
        examples = new_table("row", "truth", "first", "second")
        for example in diff.examples:
            name = example.name or str(example.row)
            examples.add_row(name, example.label, example.first, example.second)
        console.print(examples)


def _metrics(diff: Difference) -> Table:
    """Each metric of both versions, and how sure it is that the second is better or worse."""
    table = new_table("metric", "first", "second", "gain", "95 %", "second is")
    for (first, second), change in zip(diff.measured, diff.changes, strict=True):
        table.add_row(
            first.metric + (f" on {first.slice}" if first.slice else ""),
            f"{first.value:.4f}",
            f"{second.value:.4f}",
            "" if change.gain is None else f"{change.gain:+.4f}",
            "" if change.gain is None else f"{change.low:+.4f} to {change.high:+.4f}",
            change.verdict,
            style={"better": "green", "worse": "red"}.get(change.verdict, ""),
        )
    return table
