"""What an existing network takes and answers, as a schema, and whether it can be served.

Imported by the import of a model only: it imports TensorFlow.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

import keras
import numpy as np

from overnight.models.definition import reserved_names
from overnight.models.errors import UnusableNetwork
from overnight.models.examples import Array
from overnight.models.training import export as exporting
from overnight.models.training.imported import imported, input_names, output_names
from overnight.store.errors import ConfigurationError
from overnight.store.schema import NUMPY_TYPES, Datatype, TensorSpec

_DATATYPES: dict[str, Datatype] = {kind: name for name, kind in NUMPY_TYPES.items()}
_ROWS, _SEED = 8, 1
# More numbers than anybody would have as columns of a table.
MOST_COLUMNS = 4_096
# Probabilities sum to one, but for rounding.
_ROUNDING = 1e-3

Kind = Literal["classes", "number", "embedding"]


@dataclass(frozen=True)
class Description:
    """A network's inputs and outputs, as clients will call them.

    `kinds` says what each output is: probabilities of `classes`, a single number, or an embedding.
    `spreads` is how far numbers spread over random rows, to one digit; `size_bytes` that of the
    bundle. The new names of tensors are by those in the file. `single` outputs are [n] instead of
    [n, 1] as in the file.
    """

    network: keras.Model
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    kinds: Mapping[str, Kind]
    classes: Mapping[str, tuple[str, ...]]
    spreads: Mapping[str, float]
    size_bytes: int
    renamed_inputs: Mapping[str, str] = field(default_factory=dict)
    renamed_outputs: Mapping[str, str] = field(default_factory=dict)
    single: tuple[str, ...] = ()

    @property
    def renamed(self) -> Mapping[str, str]:
        """The new name of each tensor that has one, by its name in the file."""
        return {**self.renamed_inputs, **self.renamed_outputs}


def describe(
    file: Path,
    *,
    rename: Mapping[str, str],
    layers: ModuleType | None = None,
    classes: Sequence[str] = (),
) -> Description:
    """Load a network, run it on a few rows, and export it.

    Raises:
        UnusableNetwork: it cannot be loaded, run or exported.
        ConfigurationError: a name to change is unknown, or the classes are of another number.
    """
    known = imported(file, layers=layers)
    names, answers = input_names(known), output_names(known)
    if unknown := [name for name in rename if name not in {*names, *answers}]:
        raise ConfigurationError(
            f"--rename: the network has no {', '.join(unknown)}; its inputs are {', '.join(names)} "
            f"and its outputs {', '.join(answers)}"
        )
    inputs, outputs = _new_names(names, rename), _new_names(answers, rename)
    single = tuple(
        outputs.get(name, name)
        for name, tensor in zip(answers, known.outputs, strict=True)
        if tuple(tensor.shape[1:]) == (1,)
    )
    network = imported(file, inputs=inputs, outputs=outputs, single=single, layers=layers)
    specs = tuple(_input(name, tensor, file) for name, tensor in network.input.items())
    sample = samples(specs, _ROWS, seed=_SEED)
    answered, size = _exported(network, sample, file)
    kinds = {name: _kind(array) for name, array in answered.items()}
    return Description(
        network,
        specs,
        tuple(_output(name, array, kinds[name]) for name, array in answered.items()),
        kinds,
        _classes(answered, kinds, classes),
        {name: _spread(array) for name, array in answered.items() if kinds[name] == "number"},
        size,
        inputs,
        outputs,
        single,
    )


def samples(inputs: Sequence[TensorSpec], n: int, *, seed: int) -> dict[str, Array]:
    """Random rows, [n, …] by name: any bytes, codes of 0 and 1, numbers around 0."""
    random = np.random.default_rng(seed)
    arrays: dict[str, Array] = {}
    for spec in inputs:
        shape, kind = (n, *spec.shape), NUMPY_TYPES[spec.datatype]
        if spec.datatype.startswith("FP"):
            arrays[spec.name] = random.normal(size=shape).astype(kind).round(4)
        else:
            high = 256 if spec.datatype == "UINT8" else 2
            arrays[spec.name] = random.integers(0, high, shape).astype(kind)
    return arrays


def _new_names(names: Sequence[str], rename: Mapping[str, str]) -> dict[str, str]:
    """Names that can be exported, for those that cannot be or that somebody renames."""
    new: dict[str, str] = {}
    for name in names:
        chosen = rename.get(name)
        if chosen is None:
            chosen = re.sub(r"[^A-Za-z0-9_.-]+", "_", name).strip("_.-") or "tensor"
            # A keyword would be a parameter's name in the exported signature.
            chosen += "_" if chosen in reserved_names() else ""
        others = {(new.get(other, other)).lower() for other in names if other != name}
        while chosen.lower() in others and name not in rename:
            chosen += "_2"
        if chosen != name:
            new[name] = chosen
    return new


def _input(name: str, tensor: Any, file: Path) -> TensorSpec:
    batch, *shape = tensor.shape
    if batch is not None or None in shape:
        raise UnusableNetwork(
            file.name,
            f"its input {name!r} has the shape {list(tensor.shape)}",
            "expected any number of rows, and a length of each other axis: build it with an "
            "Input of a shape, and save it again",
        )
    if tensor.dtype not in _DATATYPES:
        raise UnusableNetwork(
            file.name,
            f"its input {name!r} is of {tensor.dtype}",
            f"expected one of {', '.join(_DATATYPES)}: leave out layers that read texts, declare "
            "the text's encoding in the schema instead (docs/networks.md), and save it again",
        )
    spec = TensorSpec(name=name, datatype=_DATATYPES[tensor.dtype], shape=tuple(shape))
    if math.prod(spec.shape) > MOST_COLUMNS:
        raise UnusableNetwork(
            file.name,
            f"its input {name!r} has {math.prod(spec.shape):,} numbers, more than rows of a table "
            f"have columns ({MOST_COLUMNS:,})",
            "start from `overnight new --like images`, and build its network by "
            "imported(...), as docs/networks.md shows",
        )
    return spec


def _exported(
    network: keras.Model, sample: Mapping[str, Array], file: Path
) -> tuple[dict[str, Array], int]:
    """The answers of the exported network to a sample, and the bytes of its files."""
    try:
        files = exporting.export(
            network, sample, alike=lambda _first, _second: np.ones(_ROWS, np.bool_)
        )
        answers = exporting.run_predictor(files["predictor.tflite"], sample)
    # Converter and runtime raise errors of many kinds, all about what the network is made of.
    except Exception as error:
        lines = [line for line in str(error).splitlines() if line.strip()]
        raise UnusableNetwork(
            file.name,
            f"it cannot be exported to LiteRT: {lines[0] if lines else type(error).__name__}",
            "replace the layers that have no counterpart among LiteRT's built-in operators",
        ) from error
    return answers, sum(map(len, files.values()))


def _spread(answers: Array) -> float:
    """The standard deviation of numbers to one digit; 0.1 where all are alike."""
    spread = float(answers.astype(np.float64).std())
    return float(f"{spread:.0e}") if spread > 0 else 0.1


def _kind(answers: Array) -> Kind:
    wide = answers.reshape(len(answers), -1).astype(np.float64)
    if wide.shape[1] == 1:
        return "number"
    is_share = wide.min() >= 0 and np.allclose(wide.sum(axis=1), 1, atol=_ROUNDING)
    return "classes" if is_share and answers.ndim == 2 else "embedding"


def _output(name: str, answers: Array, kind: Kind) -> TensorSpec:
    bounds = {"minimum": 0, "maximum": 1} if kind == "classes" else {}
    return TensorSpec(
        name=name, datatype=_DATATYPES[str(answers.dtype)], shape=answers.shape[1:], **bounds
    )


def _classes(
    answers: Mapping[str, Array], kinds: Mapping[str, Kind], named: Sequence[str]
) -> dict[str, tuple[str, ...]]:
    """The names of the classes of each classifier's output: those given are of the first."""
    classes = {
        name: tuple(map(str, range(array.shape[1])))
        for name, array in answers.items()
        if kinds[name] == "classes"
    }
    if not named:
        return classes
    first = next(iter(classes), None)
    if first is None or len(classes[first]) != len(named):
        actual = f"{first} has {len(classes[first])}" if first else "no output has probabilities"
        raise ConfigurationError(
            f"--classes: {len(named)} names, and {actual}; name each class once, in the order of "
            "the network's probabilities"
        )
    return classes | {first: tuple(named)}
