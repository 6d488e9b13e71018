"""The file of examples that a training process reads: an npz of plain arrays.

Its names are a protocol, because workers of earlier revisions read it when a version is reproduced:
`input.<name>`; `labels`, or `labels.<output>` for labels by output; `weights`, `groups`, `times`;
`tensors`, the schema that encoded the inputs, as the bytes of its JSON.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from overnight.models.examples import Array, Examples
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema

_INPUT, _LABELS = "input.", "labels."


def save(path: Path, examples: Examples) -> None:
    """Write encoded examples, without their slices."""
    arrays: dict[str, Any] = {f"{_INPUT}{name}": array for name, array in examples.inputs.items()}
    if isinstance(examples.labels, Mapping):
        arrays |= {f"{_LABELS}{output}": array for output, array in examples.labels.items()}
    else:
        arrays["labels"] = examples.labels
    if examples.weights is not None:
        arrays["weights"] = np.asarray(examples.weights, np.float32)
    for name in ("groups", "times"):
        if (values := getattr(examples, name)) is not None:
            arrays[name] = _plain(values, name)
    if examples.tensors is not None:
        arrays["tensors"] = np.frombuffer(examples.tensors.encoded(), np.uint8)
    np.savez(path, **arrays)


def load(path: Path) -> Examples:
    """Read examples that `save` wrote."""
    with np.load(path, allow_pickle=False) as arrays:
        inputs, by_output = (
            {
                name.removeprefix(prefix): arrays[name]
                for name in arrays.files
                if name.startswith(prefix)
            }
            for prefix in (_INPUT, _LABELS)
        )
        return Examples(
            inputs=inputs,
            labels=arrays["labels"] if "labels" in arrays.files else by_output,
            weights=arrays.get("weights"),
            groups=arrays.get("groups"),
            times=arrays.get("times"),
            tensors=Schema.model_validate_json(arrays["tensors"].tobytes())
            if "tensors" in arrays.files
            else None,
        )


def _plain(values: Array, name: str) -> Array:
    """Texts and dates as the places of their values in order: only identity and order matter."""
    values = np.asarray(values)
    if not values.dtype.hasobject:
        return values
    try:
        return np.unique(values, return_inverse=True)[1]
    except TypeError:
        kinds = ", ".join(sorted({type(value).__name__ for value in values}))
        raise ConfigurationError(
            f"examples: {name} are values of one kind that have an order, and none is missing; "
            f"found {kinds}; correct the model's `examples`"
        ) from None
