"""`overnight new --from`: a model package for the rows of a CSV file."""

import json
import math
import statistics
from dataclasses import dataclass
from pathlib import Path

from overnight.cli.actions.project.inspect_rows import ColumnOfRows, Inspected, inspect, is_classes

# Of few rows more judge, for a gate on a handful shows nothing.
_FEW_ROWS, _SHARE_OF_FEW, _SHARE = 1_000, 0.3, 0.2


@dataclass(frozen=True)
class ModelPackage:
    """The modules of a package by file name, and the rows to begin with."""

    kind: str
    modules: dict[str, str]
    rows: dict[str, bytes]


def from_rows(name: str, path: Path, target: str, *, network: str) -> ModelPackage:
    """A package whose columns, gaps and kind are those of a CSV file.

    Numbers and categories become inputs, dates and keys other columns; a target of a few classes
    makes a classifier, other numbers a regression. A share of the rows judges every version.

    Args:
        name: of the model.
        target: the column with the truth.
        network: the module of the network, once it is written.

    Raises:
        ConfigurationError: the file or the target will not do, and why.
    """
    inspected = inspect(path)
    truth = inspected.column(target)
    columns = [column for column in inspected.columns if column is not truth]
    inputs = [column for column in columns if column.kind in ("number", "category", "text")]
    kind = "classification" if is_classes(truth) else "regression"
    text = _definition(name, inspected, truth, inputs, kind=kind, network=network)
    modules = {"__init__.py": text, "network.py": _network(truth, inputs, kind=kind)}
    return ModelPackage(kind, modules, {"night-0001.csv": path.read_bytes()})


def _definition(
    name: str,
    inspected: Inspected,
    truth: ColumnOfRows,
    inputs: list[ColumnOfRows],
    *,
    kind: str,
    network: str,
) -> str:
    others = [
        column for column in inspected.columns if column is not truth and column not in inputs
    ]
    share = _SHARE_OF_FEW if inspected.rows < _FEW_ROWS else _SHARE
    keys = [column.name for column in others if column.kind == "key"]
    return _lines(
        f'"""{_title(name)}: {_what(kind)} `{truth.name}`, from {len(inputs)} columns of rows."""',
        "",
        "import pyarrow as pa",
        "",
        "from overnight.api import (",
        *(f"    {each}," for each in _imported(inspected, inputs, kind)),
        ")",
        "",
        _kind(truth, kind),
        "# Clients send the inputs. Others are no inputs: keys, groups, or dates, for date(…).",
        "TABLE = Table(",
        "    inputs=(",
        *(f"        {_input(column)}," for column in inputs),
        "    ),",
        f"    target={_target(truth, kind)},",
        *_others(others),
        ")",
        "",
        "",
        "def examples(rows: pa.Table) -> Examples:",
        '    """The rows as inputs and truth; `slices_by(rows, column)` would be the third."""',
        "    return Examples(TABLE.arrays(rows), TABLE.truth(rows))",
        "",
        "",
        "def open_source(places: Places) -> Files:",
        '    """Files of a folder, one arrival each; a share of the first judges every version."""',
        "    return Files(",
        "        places,",
        f"        model={_quoted(name)},",
        "        columns=TABLE.columns,",
        f"        same_by={_quoted((keys[0],)) if keys else 'TABLE.names'},",
        f"        holdout=HoldoutShare({share}),",
        *(f"        {line}," for line in (*_rename(inspected), *_dialect(inspected))),
        "    )",
        "",
        "",
        *_declared(name, inspected, truth, kind=kind, network=network, share=share),
    )


def _declared(
    name: str,
    inspected: Inspected,
    truth: ColumnOfRows,
    *,
    kind: str,
    network: str,
    share: float,
) -> tuple[str, ...]:
    """The lines of the definition itself."""
    held, classes = round(inspected.rows * share), kind == "classification"
    fewest = min(10, inspected.rows // (4 * len(truth.values))) if classes else 0
    least, enough = inspected.rows // 3, max(30, min(100, held // 2))
    example = '{"accuracy": 0.9}' if classes else '{"mae": 10}'
    plots = "classifier" if classes else "numbers"
    return (
        "DEFINITION = ModelDefinition(",
        f"    name={_quoted(name)},",
        f"    title={_quoted(_title(name))},",
        f"    network={_quoted(network)},",
        f'    pictures="overnight.models.plots.{plots}",',
        "    tensors=KIND.schema(*TABLE.inputs),",
        "    learned=TABLE.learned,",
        "    # Better than a trivial rule, and not much worse than the champion. The bounds that a",
        f"    # version must reach go into the empty braces, such as {example}.",
        f"    gates=KIND.gates({{}}, margin={_margin(truth, held, kind)}, minimum_rows={enough}),",
        "    settings=TrainingSettings(",
        "        epochs=60,",
        "        batch_rows=32,",
        "        learning_rate=0.01,",
        "        seed=1,",
        "        validation_share=0.15,",
        "        patience_epochs=15,",
        "    ),",
        "    open_source=open_source,",
        "    examples=examples,",
        "    measure=KIND.measure,",
        "    correct=KIND.correct,",
        "    per_row=KIND.per_row,",
        f"    data_gates=TABLE.data_gates(minimum_rows={least}, class_rows={fewest}),",
        *(() if classes else ("    tolerance=KIND.tolerance,",)),
        ")",
    )


def _lines(*lines: str) -> str:
    return "\n".join(lines) + "\n"


def _title(name: str) -> str:
    return name.replace("-", " ").replace("_", " ").capitalize()


def _what(kind: str) -> str:
    return "the class" if kind == "classification" else "the number"


def _imported(inspected: Inspected, inputs: list[ColumnOfRows], kind: str) -> list[str]:
    """The names that the module needs, as they are sorted in imports."""
    names = {"Examples", "Files", "HoldoutShare", "ModelDefinition", "Places", "Table"}
    names |= {"TensorSpec", "TrainingSettings", kind.capitalize()}
    names |= {"Csv"} if _dialect(inspected) else set()
    return [*sorted(names), *sorted({column.kind for column in inputs})]


def _quoted(value: object) -> str:
    """A value as Python, with double quotes."""
    if isinstance(value, str):
        return json.dumps(value, ensure_ascii=False)
    if isinstance(value, tuple):
        return f"({', '.join(map(_quoted, value))}{',' if len(value) == 1 else ''})"
    if isinstance(value, dict):
        pairs = (f"{_quoted(key)}: {_quoted(each)}" for key, each in value.items())
        return f"{{{', '.join(pairs)}}}"
    return repr(value)


def _kind(truth: ColumnOfRows, kind: str) -> str:
    if kind == "classification":
        return f"KIND = Classification({_quoted(tuple(sorted(truth.values)))})"
    spread = statistics.pstdev(_numbers(truth))
    return f"KIND = Regression({_quoted(truth.name)}, right_within={_round(spread / 5)})"


def _target(truth: ColumnOfRows, kind: str) -> str:
    declared = f"TensorSpec(name={_quoted(truth.name)}"
    if kind == "classification":
        return f'{declared}, datatype="INT32", shape=(), vocabulary=KIND.classes)'
    return f'{declared}, datatype="FP32", shape=())'


def _others(others: list[ColumnOfRows]) -> list[str]:
    if not others:
        return []
    columns = (f"        {_quoted(column.name)}: pa.string()," for column in others)
    return ["    others={", *columns, "    },"]


def _input(column: ColumnOfRows) -> str:
    gaps = ", gaps=True" if column.gaps else ""
    return f"{column.kind}({_quoted(column.name)}{gaps})"


def _rename(inspected: Inspected) -> list[str]:
    renamed = {c.header: c.name for c in inspected.columns if c.header != c.name}
    return [f"rename={_quoted(renamed)}"] if renamed else []


def _dialect(inspected: Inspected) -> list[str]:
    """The format, where it is not what files have by default."""
    parts = []
    if inspected.missing:
        parts.append(f"missing={_quoted(inspected.missing)}")
    if inspected.decimal != ".":
        parts.append(f"decimal={_quoted(inspected.decimal)}")
    if inspected.encoding != "utf-8":
        parts.append(f"encoding={_quoted(inspected.encoding)}")
    return [f"format=Csv({', '.join(parts)})"] if parts else []


def _margin(truth: ColumnOfRows, held: int, kind: str) -> float:
    """A margin at which two equal versions can be shown to be no worse on so few rows.

    Of classes (Connor 1987) with a seventh of the rows on which they differ; of numbers a tenth of
    the mean distance from the mean.
    """
    if kind == "classification":
        return round(min(0.5, max(0.02, math.sqrt(10.5 / 7 / held))), 2)
    numbers = _numbers(truth)
    centre = statistics.fmean(numbers)
    return _round(statistics.fmean(abs(x - centre) for x in numbers) * max(0.1, 3 / held**0.5))


def _numbers(column: ColumnOfRows) -> list[float]:
    return [float(value.replace(",", ".")) for value in column.values]


def _round(value: float) -> float:
    """Two digits that count."""
    return float(f"{value:.1e}")


def _network(truth: ColumnOfRows, inputs: list[ColumnOfRows], *, kind: str) -> str:
    """The starter's network with the output's name, and layers for texts where there are any."""
    from overnight.models import starters

    source = Path(starters.__path__[0]) / kind / "network.py"
    text = source.read_text().replace('"rent"', f'"{truth.name}"')
    texts = [column.name for column in inputs if column.kind == "text"]
    if not texts:
        return text
    layers = "".join(
        f'    parts.append(mean_of_words(tensors, inputs, "{name}"))\n' for name in texts
    )
    only = len(texts) == len(inputs)
    first = "    parts = []\n" if only else "    parts = [features(tensors, inputs)]\n"
    joined = "    x = keras.layers.Concatenate()(parts) if len(parts) > 1 else parts[0]\n"
    text = text.replace("    x = features(tensors, inputs)\n", first + layers + joined)
    if only:
        text = text.replace("import features, keras_inputs", "import keras_inputs")
    imported = "from overnight.models.training.network import Network\n"
    texts_module = "from overnight.models.training.texts import mean_of_words\n"
    return text.replace(imported, imported + texts_module)
