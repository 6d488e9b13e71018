"""`overnight diff`: two versions compared."""

import dataclasses
import importlib
import json
from pathlib import Path

from overnight.cli.terminal import new_table, open_console
from overnight.flows.run.context import ModelContext
from overnight.store.errors import NothingPublished
from overnight.store.registry.registry import Registry
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
    versions = [_resolve(context, name) for name in (first, second)]
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
        _print(diff)
        if html is not None:
            print(f"the report is {html}")


def _resolve(context: ModelContext, name: str) -> str:
    """A version by name; `champion` for the one that serves."""
    version = context.registry.champion_version() if name == "champion" else name
    if version is None:
        raise NothingPublished(context.model, Registry(context.bucket).models())
    return version


def _to_json(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _print(diff: Difference) -> None:
    console = open_console()
    console.print(f"{diff.first} → {diff.second}", style="bold")
    table = new_table("", "axis", "")
    for axis in diff.axes:
        mark = "differs" if axis.changed else "same"
        table.add_row(mark, axis.name, axis.detail, style="bold" if axis.changed else "")
    console.print(table)
    metrics = new_table("metric", "slice", "first", "second", "n")
    for first, second in diff.measured:
        metrics.add_row(
            first.metric,
            first.slice,
            f"{first.value:.4f}",
            f"{second.value:.4f}",
            f"{second.n:,}",
            style="bold" if first.value != second.value else "",
        )
    console.print(metrics)
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
            examples.add_row(str(example.row), example.label, example.first, example.second)
        console.print(examples)
