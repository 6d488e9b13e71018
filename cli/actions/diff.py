"""What `overnight diff` tells."""

import dataclasses
import importlib
import json
from pathlib import Path

from overnight.cli.terminal import new_table, open_console
from overnight.flows.run.context import ModelContext
from overnight.models.examples import Outputs
from overnight.store.errors import NothingPublished
from overnight.store.objects.bucket import Bucket
from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.registry import Registry
from overnight.tasks.evaluation.diff import Difference, difference
from overnight.tasks.evaluation.evaluate import answers
from overnight.tasks.reporting.diff_report import render_diff
from overnight.tasks.reporting.markdown import page


def run(model: str, first: str, second: str, *, as_json: bool, html: Path | None) -> None:
    """Compare two versions; write a page with pictures where one is asked for.

    Raises:
        UnknownVersion, CorruptVersion, UntrustedVersion: a version is not there, or not what a
            trusted key signed.
    """
    context = ModelContext.open(model)
    names = [_named(context.bucket, model, name) for name in (first, second)]
    made, other = (context.registry.trusted(name).manifest for name in names)
    holdout = context.holdout_examples()
    then, now = (
        answers(
            context.registry.read_file(one, "predictor.tflite"),
            holdout.inputs,
        )
        for one in (made, other)
    )
    found = difference(context.definition, (made, other), (then, now), holdout=holdout)
    if html is not None:
        _write(html, context, found, (then, now))
    if as_json:
        print(json.dumps(dataclasses.asdict(found), indent=2, default=_plain))
    else:
        _print(found)
        if html is not None:
            print(f"{html} shows them")


def _named(bucket: Bucket, model: str, name: str) -> str:
    """A version by name, or the one that serves for `champion`."""
    if name != "champion":
        return name
    current = AliasLog(bucket, model).current()
    if current is None:
        raise NothingPublished(model, Registry(bucket).models())
    return current.version


def _write(
    path: Path, context: ModelContext, found: Difference, outputs: tuple[Outputs, Outputs]
) -> None:
    draw = importlib.import_module(context.definition.pictures).disagreements
    pictures = draw(context.holdout_examples(), *outputs) if found.changed else {}
    told = render_diff(found, context.definition, pictures)
    path.write_bytes(page(told, title=f"{found.first} and {found.second}"))


def _plain(value: object) -> object:
    return value.model_dump(mode="json") if hasattr(value, "model_dump") else str(value)


def _print(found: Difference) -> None:
    console = open_console()
    console.print(f"{found.first} → {found.second}", style="bold")
    table = new_table("", "axis", "")
    for axis in found.axes:
        mark = "differs" if axis.changed else "same"
        table.add_row(mark, axis.name, axis.detail, style="bold" if axis.changed else "")
    console.print(table)
    metrics = new_table("metric", "slice", "first", "second", "n")
    for then, now in found.measured:
        style = "bold" if then.value != now.value else ""
        cells = (then.metric, then.slice, f"{then.value:.4f}", f"{now.value:.4f}", f"{now.n:,}")
        metrics.add_row(*cells, style=style)
    console.print(metrics)
    console.print(
        f"{found.changed:,} of {found.rows:,} holdout rows are answered otherwise: "
        f"{found.gained:,} only the second answers rightly, {found.lost:,} only the first."
    )
    if found.examples:
        examples = new_table("row", "truth", "first", "second")
        for one in found.examples:
            examples.add_row(str(one.row), one.label, one.first, one.second)
        console.print(examples)
