"""The modules of an imported model, as text: its definition, and its network."""

import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import floor, log10

import pyarrow as pa
from pyarrow import csv

from overnight.cli.actions.imports.rows import ImportedRows
from overnight.models.kinds.classification import Classification
from overnight.models.kinds.embedding import Embedding
from overnight.models.kinds.regression import Regression
from overnight.models.kinds.several import OutputKind
from overnight.models.number_columns import NumberColumns
from overnight.models.sources.csv_folder import HOLDOUT
from overnight.models.training import export as exporting
from overnight.models.training.description import Description
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import TensorSpec

_PICTURES = {
    Classification: "overnight.models.plots.classifier",
    Regression: "overnight.models.plots.numbers",
}
_SEVERAL = "overnight.models.plots.several"
_LOSSES = {"classes": "sparse_categorical_crossentropy", "number": "mse"}
_MINIMUM_ROWS = 100


def module_files(
    module: str, name: str, described: Description, rows: ImportedRows, *, file: str, layers: str
) -> dict[str, bytes]:
    """`__init__.py` and `network.py` of the package `module`.

    Args:
        file: the name of the network's file or folder in the package.
        layers: the module with somebody's own layers; empty for none.
    """
    return {
        "__init__.py": _definition(module, name, described, rows).encode(),
        "network.py": _network(described, file, layers).encode(),
    }


def _network(described: Description, file: str, layers: str) -> str:
    losses = {
        name: _LOSSES[kind] for name, kind in described.kinds.items() if kind != "embedding"
    } or {"OUTPUT": "LOSS"}
    package, _, last = layers.rpartition(".")
    # In the order of a formatter: a project's own modules come last.
    own = f"from {package} import {last}" if package else f"import {layers}" if layers else ""
    further = f", single={_literal(described.single)}" if described.single else ""
    further += f", layers={last}" if layers else ""
    return f'''"""The network: it came trained, in `{file}` beside this file."""

from pathlib import Path

import keras

from overnight.models.training.imported import imported
from overnight.models.training.network import Network
{
        own
        and f"""
{own}
"""
    }
# The names that clients use, by those in the file.
INPUTS = {_literal(described.renamed_inputs)}
OUTPUTS = {_literal(described.renamed_outputs)}


def build() -> keras.Model:
    """The network with the weights that it came with."""
    file = Path(__file__).with_name("{file}")
    return imported(file, inputs=INPUTS, outputs=OUTPUTS{further})


# Served as it is. To train it on from these weights, give it losses here:
#     Network(build, losses={_literal(losses)})
# and settings=TrainingSettings(...) instead of AS_IT_IS in __init__.py.
NETWORK = Network(build)
'''


def _definition(module: str, name: str, described: Description, rows: ImportedRows) -> str:
    kinds, gates = kinds_of(described), _gates(described, rows, kinds_of(described))
    several = len(kinds) > 1
    classes = {
        output: "KIND.classes" if not several else _literal(names)
        for output, names in described.classes.items()
        if output in rows.labels
    }
    tolerance = (
        "\n    tolerance=KIND.tolerance," if any(hasattr(k, "tolerance") for k in kinds) else ""
    )
    return f'''"""{name.capitalize()}: a network that came trained, and is served as it is."""

{_imports(kinds, gates)}

KIND = {_kinds_text(kinds)}
INPUTS = {_inputs_text(described.inputs)}
# Which columns of a row the numbers of each input are, and which has the truth.
ROWS = NumberColumns(
    INPUTS,
    columns={_columns_text(rows.columns)},
    labels={_literal(rows.labels)},
    classes={{{", ".join(f"{_literal(output)}: {text}" for output, text in classes.items())}}},
    texts={rows.texts},
)
GATES = (
    {_lines(gates)}
)


def open_source(places: Places) -> CsvFolder:
    """CSV files in a folder, one arrival each; rows with the same inputs are the same row."""
    return CsvFolder(
        places,
        model="{name}",
        columns=ROWS.schema,
        same_by=ROWS.input_columns,
    )


DEFINITION = ModelDefinition(
    name="{name}",
    title="{name.capitalize()}",
    network="{module}.network",
    pictures="{_SEVERAL if several else _PICTURES.get(type(kinds[0]), _SEVERAL)}",
    tensors=KIND.schema(*INPUTS),
    gates=GATES,
    settings=AS_IT_IS,
    open_source=open_source,
    examples=ROWS.examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,{tolerance}
)
'''


def _imports(kinds: Sequence[OutputKind], gates: Sequence[str]) -> str:
    """The imports of a definition, each name once and in order."""
    used = {gate.partition("(")[0] for gate in gates}
    listed = sorted({"AS_IT_IS", "CsvFolder", "ModelDefinition", "Places", "TensorSpec", *used})
    names = {type(kind).__name__ for kind in kinds} | ({"Several"} if len(kinds) > 1 else set())
    return "\n".join(
        (
            "from overnight.api import (",
            *(f"    {name}," for name in listed),
            ")",
            *(
                f"from overnight.models.kinds.{name.lower()} import {name}"
                for name in sorted(names)
            ),
            "from overnight.models.number_columns import NumberColumns",
        )
    )


def kinds_of(described: Description) -> tuple[OutputKind, ...]:
    """The kind of each output, in their order."""
    kinds: list[OutputKind] = []
    for spec in described.outputs:
        match described.kinds[spec.name]:
            case "classes":
                kinds.append(Classification(described.classes[spec.name], output=spec.name))
            case "number":
                kinds.append(Regression(spec.name, right_within=described.spreads[spec.name]))
            case _:
                kinds.append(Embedding(spec.name, spec.shape))
    # The first output is the prediction that pages show.
    return tuple(sorted(kinds, key=lambda kind: isinstance(kind, Embedding)))


def _gates(described: Description, rows: ImportedRows, kinds: Sequence[OutputKind]) -> list[str]:
    """Bounds somewhat below what the network reaches on the holdout now, and what all need."""
    table = NumberColumns(
        described.inputs, rows.columns, rows.labels, described.classes, texts=rows.texts
    )
    holdout = table.examples(_holdout(rows, table.schema))
    answers = exporting.predict(described.network, holdout.inputs)
    gates, several, tolerances = [], len(kinds) > 1, {}
    for kind in kinds:
        prefix = f"{kind.output}." if several else ""
        measured = {m.metric: m for m in kind.measure(holdout, answers) if not m.slice}
        if isinstance(kind, Classification):
            bound = max(0.0, floor(100 * _low(measured["accuracy"])) / 100 - 0.05)
            gates += [f'AtLeast("{prefix}accuracy", {bound:.2f})']
            margin, metric = 0.05, f"{prefix}accuracy"
            tolerances[kind.output] = 0.25
        elif isinstance(kind, Regression):
            error = measured["mae"].value
            gates += [f'AtMost("{prefix}mae", {_round(2 * error + kind.right_within)})']
            margin, metric = _round(error / 4 + kind.right_within / 10), f"{prefix}mae"
            tolerances[kind.output] = kind.right_within
        else:
            gates += [f'AtLeast("{prefix}finite", 1.0)']
            continue
        least = min(_MINIMUM_ROWS, holdout.n)
        gates += [f'MaximumRegression({margin}, metric="{metric}", minimum_rows={least})']
    size = max(5, floor(2 * described.size_bytes / 1e6) + 1)
    return [
        *gates,
        f"SamePredictions({_literal(tolerances)}, changed_share=0.01)",
        f"WithinBudget(p99_ms=200, resident_mb={250 + 4 * size}, size_mb={size})",
    ]


def _holdout(rows: ImportedRows, schema: pa.Schema) -> pa.Table:
    table = csv.read_csv(
        io.BytesIO(rows.files[HOLDOUT]),
        convert_options=csv.ConvertOptions(
            column_types=schema, include_columns=schema.names, strings_can_be_null=False
        ),
    )
    return table.select(schema.names)


def _low(measured: Measurement) -> float:
    return measured.value if measured.low is None else measured.low


def _round(number: float) -> float:
    """Two digits, rounded up."""
    if number <= 0:
        return 0.001
    unit = 10 ** (floor(log10(number)) - 1)
    return float(f"{(floor(number / unit) + 1) * unit:.2g}")


def _kinds_text(kinds: Sequence[OutputKind]) -> str:
    if len(kinds) == 1:
        return _kind_text(kinds[0])
    return "Several(\n    (\n" + "".join(f"        {_kind_text(k)},\n" for k in kinds) + "    )\n)"


def _kind_text(kind: OutputKind) -> str:
    match kind:
        case Classification():
            return f"Classification({_literal(kind.classes)}, output={_literal(kind.output)})"
        case Regression():
            return f"Regression({_literal(kind.output)}, right_within={kind.right_within})"
        case _:
            assert isinstance(kind, Embedding)
            return f"Embedding({_literal(kind.output)}, {_literal(kind.shape)})"


def _inputs_text(inputs: Sequence[TensorSpec]) -> str:
    if len(inputs) == 1:
        return f"({_spec_text(inputs[0])},)"
    return f"(\n    {_lines(map(_spec_text, inputs))}\n)"


def _spec_text(spec: TensorSpec) -> str:
    bounds = ", minimum=0, maximum=255" if spec.datatype == "UINT8" else ""
    named = f'name={_literal(spec.name)}, datatype="{spec.datatype}"'
    return f"TensorSpec({named}, shape={_literal(spec.shape)}{bounds})"


def _columns_text(columns: Mapping[str, tuple[str, ...]]) -> str:
    lines = []
    for name, listed in columns.items():
        digits = len(str(len(listed) - 1))
        numbered = tuple(f"{name}_{place:0{digits}d}" for place in range(len(listed)))
        if listed == numbered and len(listed) > 8:
            text = f'tuple(f"{name}_{{place:0{digits}d}}" for place in range({len(listed)}))'
        else:
            text = _literal(listed)
        lines.append(f"        {_literal(name)}: {text},\n")
    return "{\n" + "".join(lines) + "    }"


def _literal(value: object) -> str:
    """A value as Python text, with the quotes that formatters prefer."""
    match value:
        case str():
            return json.dumps(value, ensure_ascii=False)
        case tuple():
            inside = ", ".join(map(_literal, value))
            return f"({inside},)" if len(value) == 1 else f"({inside})"
        case Mapping():
            pairs = (f"{_literal(name)}: {_literal(each)}" for name, each in value.items())
            return "{" + ", ".join(pairs) + "}"
        case _:
            return repr(value)


def _lines(texts: Iterable[str]) -> str:
    return "\n    ".join(f"{text}," for text in texts)
