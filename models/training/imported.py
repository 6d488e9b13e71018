"""Existing networks: a `.keras` file or a SavedModel, with the names that clients use.

No code of a file is run: layers that are Python code in the file are refused, and layers of
somebody's own come from a module that is named. Imported by networks only, in the training
process: it imports TensorFlow.
"""

from __future__ import annotations

import json
import zipfile
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import keras

from overnight.models.errors import UnusableNetwork
from overnight.models.training.saved_model import SavedGraph, signature_tensors

_CONFIG = "config.json"


def imported(
    file: Path,
    *,
    inputs: Mapping[str, str] | None = None,
    outputs: Mapping[str, str] | None = None,
    single: Collection[str] = (),
    layers: ModuleType | None = None,
) -> keras.Model:
    """The network in a file, with its weights, from inputs by name to outputs by name.

    Args:
        file: a `.keras` file, or the folder of a SavedModel.
        inputs: the names in the file of those inputs that have another name now: {then: now}.
        outputs: the same of outputs.
        single: outputs, by their name now, of one number: [n] instead of [n, 1].
        layers: a module with the layers that are not Keras' own.

    Raises:
        UnusableNetwork: it is no such file, or needs code that is not there.
    """
    network = _saved_graph(file) if file.is_dir() else _keras_file(file, layers)
    return _named(network, inputs or {}, outputs or {}, single, file)


def _keras_file(file: Path, layers: ModuleType | None) -> keras.Model:
    config = _config(file)
    code = sorted(set(_code_in(config)))
    # A layer has the function in it as well.
    if code := [part for part in code if "layer" in part] or code:
        raise UnusableNetwork(
            file.name,
            f"{', '.join(code)} is Python code inside the file, which is never run",
            "replace it by a layer class in a module of yours, save the network again, and name "
            "the module by --layers",
        )
    own = _classes(layers) if layers else {}
    # For the whole process: the network is saved and loaded again under these names.
    keras.saving.get_custom_objects().update(own)
    try:
        network = keras.saving.load_model(file, compile=False, safe_mode=True)
    except (TypeError, ValueError, KeyError, OSError, RuntimeError) as error:
        unknown = sorted(set(_own_classes(config)) - own.keys())
        remedy = (
            f"name the module that defines {', '.join(unknown)} by --layers"
            if unknown
            else "open it with the Keras that saved it, and save it again with this one"
        )
        problem = "it has layers that are not Keras' own" if unknown else _first_line(error)
        raise UnusableNetwork(file.name, problem, remedy) from error
    if not getattr(network, "inputs", None):
        raise UnusableNetwork(
            file.name,
            "its inputs are not known before it is called",
            "call it on a row, write it by network.export(FOLDER), and import that folder",
        )
    return network


def _config(file: Path) -> Any:
    if not file.exists():
        raise UnusableNetwork(file.name, "there is no such file", "correct the path")
    try:
        with zipfile.ZipFile(file) as archive:
            return json.loads(archive.read(_CONFIG))
    # RuntimeError: encrypted, or nested too deeply.
    except (zipfile.BadZipFile, KeyError, ValueError, RuntimeError, OSError):
        raise UnusableNetwork(
            file.name,
            "it is neither a .keras file nor the folder of a SavedModel",
            'load it where it was made, and save it by network.save("NAME.keras")',
        ) from None


def _parts(config: Any) -> Iterator[Mapping[str, Any]]:
    """Every object that a file's configuration describes, at any depth."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _parts(value)


def _code_in(config: Any) -> Iterator[str]:
    """The layers and functions that are Python code themselves."""
    for part in _parts(config):
        own = part.get("config")
        if part["class_name"] == "__lambda__":
            yield "a lambda function"
        elif part["class_name"] == "Lambda":
            yield f"the Lambda layer {own.get('name') if isinstance(own, Mapping) else ''!r}"


def _own_classes(config: Any) -> Iterator[str]:
    """The names under which a file has classes that are not Keras' own."""
    for part in _parts(config):
        module = part.get("module")
        if part.get("registered_name") and (module is None or not str(module).startswith("keras")):
            yield str(part["registered_name"])


def _classes(module: ModuleType) -> dict[str, type]:
    """Classes that a module defines, by each name that files may have for them."""
    classes = [
        value
        for value in vars(module).values()
        if isinstance(value, type) and value.__module__ == module.__name__
    ]
    registered = {keras.saving.get_registered_name(own): own for own in classes}
    return {own.__name__: own for own in classes} | registered


def _saved_graph(folder: Path) -> keras.Model:
    inputs, outputs = signature_tensors(folder)
    graph = SavedGraph.of(folder, outputs, name="graph")
    tensors = {
        name: keras.Input(tuple(spec.shape)[1:], dtype=spec.dtype.name, name=name)
        for name, spec in inputs.items()
    }
    return keras.Model(tensors, graph(tensors))


def _named(
    network: keras.Model,
    inputs: Mapping[str, str],
    outputs: Mapping[str, str],
    single: Collection[str],
    file: Path,
) -> keras.Model:
    """The network with other names, or itself where all are named as they should be."""
    names, given = input_names(network), output_names(network)
    for then, known in ((inputs, names), (outputs, given)):
        if unknown := [name for name in then if name not in known]:
            raise UnusableNetwork(
                file.name,
                f"it has no {', '.join(unknown)}, only {', '.join(known)}",
                "correct the names in the network's module",
            )
    is_named = isinstance(network.input, Mapping) and isinstance(network.output, Mapping)
    if is_named and not inputs and not outputs and not single:
        return network
    tensors = {
        name: keras.Input(tensor.shape[1:], dtype=tensor.dtype, name=inputs.get(name, name))
        for name, tensor in zip(names, network.inputs, strict=True)
    }
    if isinstance(network.input, Mapping):
        answer = network(tensors)
    else:
        # Some networks have one tensor, others a list of them.
        several = isinstance(network.input, list | tuple)
        answer = network(list(tensors.values()) if several else next(iter(tensors.values())))
    if not isinstance(answer, Mapping):
        answer = dict(
            zip(given, answer if isinstance(answer, list | tuple) else [answer], strict=True)
        )
    answer = {outputs.get(name, name): tensor for name, tensor in answer.items()}
    return keras.Model(
        {inputs.get(name, name): tensor for name, tensor in tensors.items()},
        {
            name: keras.layers.Reshape((), name=f"{name}_alone")(tensor)
            if name in single
            else tensor
            for name, tensor in answer.items()
        },
    )


def input_names(network: keras.Model) -> list[str]:
    """The names of a network's inputs in its file, in their order."""
    if isinstance(network.input, Mapping):
        return list(network.input)
    return [tensor.name for tensor in network.inputs]


def output_names(network: keras.Model) -> list[str]:
    """The names of a network's outputs in its file, in their order."""
    return list(network.output if isinstance(network.output, Mapping) else network.output_names)


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0]
