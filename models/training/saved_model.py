"""A SavedModel as a layer of Keras, whose files and weights are kept in the `.keras` file.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

import shutil
import tempfile
import weakref
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from overnight.models.errors import UnusableNetwork

SIGNATURE = "serving_default"
_GRAPH = "saved_model.pb"
# Operations that reach out of the graph: to files, or to Python.
_REFUSED = ("PyFunc", "EagerPyFunc", "ReadFile", "WriteFile", "MatchingFiles", "DebugIdentityV")


def signature_tensors(folder: Path) -> tuple[dict[str, tf.TensorSpec], dict[str, tf.TensorSpec]]:
    """The inputs and outputs of the signature that a SavedModel serves by.

    Raises:
        UnusableNetwork: it is no SavedModel, has no such signature, or reaches out of its graph.
    """
    check_graph(folder)
    signatures = tf.saved_model.load(str(folder)).signatures
    if SIGNATURE not in signatures:
        raise UnusableNetwork(
            folder.name,
            f"it has the signatures {', '.join(signatures) or 'none'}",
            f"write it with a signature {SIGNATURE}, as network.export does",
        )
    signature = signatures[SIGNATURE]
    return signature.structured_input_signature[1], signature.structured_outputs


def check_graph(folder: Path) -> None:
    """Check, before anything is loaded, that a graph computes and does nothing else.

    Raises:
        UnusableNetwork: it is no SavedModel, or has operations on files or in Python.
    """
    model = saved_model_pb2.SavedModel()
    try:
        model.ParseFromString((folder / _GRAPH).read_bytes())
    except FileNotFoundError:
        raise UnusableNetwork(
            folder.name, f"the folder has no {_GRAPH}", "name the folder of a SavedModel"
        ) from None
    except ValueError as error:
        raise UnusableNetwork(folder.name, str(error), "write the SavedModel again") from None
    operations = {
        node.op
        for graph in model.meta_graphs
        for nodes in (
            graph.graph_def.node,
            *(function.node_def for function in graph.graph_def.library.function),
        )
        for node in nodes
    }
    if refused := sorted(name for name in operations if name.startswith(_REFUSED)):
        raise UnusableNetwork(
            folder.name,
            f"its graph has {', '.join(refused)}, which reach out of it",
            "write it without them: a served network only computes",
        )


@keras.saving.register_keras_serializable("overnight")
class SavedGraph(keras.layers.Layer):  # type: ignore[misc]
    """The signature of a SavedModel: from tensors by name to tensors by name.

    Its weights can be trained further. It is made without its files, which it gets by `of`, or
    from the `.keras` file that it is loaded with.
    """

    def __init__(
        self, outputs: Mapping[str, Any], variables: Sequence[Any] = (), **options: Any
    ) -> None:
        """Make the layer without its graph.

        Args:
            outputs: shapes without the batch axis, and types, by name.
            variables: name, shape, type, and whether it is trainable, of each weight.
        """
        super().__init__(**options)
        self.outputs = {name: (tuple(shape), kind) for name, (shape, kind) in outputs.items()}
        self._declared = [tuple(declared) for declared in variables]
        # Here, because Keras lets a layer that was loaded have no further weights.
        self._own = [
            self.add_weight(
                shape=tuple(shape),
                dtype=kind,
                trainable=bool(trainable),
                name=name,
                initializer="zeros",
            )
            for name, shape, kind, trainable in self._declared
        ]
        self._folder: str | None = None
        self._call: Any = None
        self._pending: list[Any] | None = None

    @classmethod
    def of(cls, folder: Path, outputs: Mapping[str, tf.TensorSpec], *, name: str) -> SavedGraph:
        """The layer with the graph and the weights in a folder."""
        loaded = tf.saved_model.load(str(folder))
        weights = loaded.signatures[SIGNATURE].variables
        layer = cls(
            {name: (tuple(spec.shape)[1:], spec.dtype.name) for name, spec in outputs.items()},
            [
                (
                    weight.name.split(":")[0].replace("/", "_"),
                    weight.shape.as_list(),
                    weight.dtype.name,
                    weight.trainable,
                )
                for weight in weights
            ],
            name=name,
        )
        layer._take(folder)
        return layer

    def _take(self, folder: Path) -> None:
        # A copy: the layer may be saved long after the folder is gone.
        self._folder = tempfile.mkdtemp(prefix="overnight-graph-")
        weakref.finalize(self, shutil.rmtree, self._folder, ignore_errors=True)
        shutil.copytree(folder, self._folder, dirs_exist_ok=True)
        check_graph(Path(self._folder))
        self._loaded = tf.saved_model.load(self._folder)
        self._call = self._loaded.signatures[SIGNATURE]
        for variable, weight in zip(self._own, self._call.variables, strict=True):
            # The graph reads its own variable and no copy: so Keras' has to be that.
            variable._value = weight  # noqa: SLF001 - there is no other way to share one
        if self._pending is not None:
            self._assign(self._pending)
        self.built = True

    def build(self, _input_shape: Any) -> None:
        """Nothing is made from shapes: the graph brings its weights along."""

    def call(self, inputs: Mapping[str, Any]) -> dict[str, Any]:
        """Run the graph."""
        answers: dict[str, Any] = self._call(**inputs)
        return answers

    def compute_output_spec(self, inputs: Mapping[str, Any], **_options: Any) -> dict[str, Any]:
        """The outputs, which are known before the graph is loaded."""
        batch = next(iter(inputs.values())).shape[0]
        return {
            name: keras.KerasTensor((batch, *shape), dtype=kind)
            for name, (shape, kind) in self.outputs.items()
        }

    def get_config(self) -> dict[str, Any]:
        """What the layer is made of again; its files are assets."""
        config: dict[str, Any] = super().get_config()
        return config | {"outputs": self.outputs, "variables": self._declared}

    def save_assets(self, folder: str) -> None:
        """Keep the SavedModel's files in the `.keras` file."""
        assert self._folder is not None, "a layer is saved with its graph"
        shutil.copytree(self._folder, folder, dirs_exist_ok=True)

    def load_assets(self, folder: str) -> None:
        """Load the graph from the `.keras` file."""
        self._take(Path(folder))

    def save_own_variables(self, store: Any) -> None:
        """Keep the weights, which training may have moved from those in the SavedModel."""
        for place, variable in enumerate(self._own):
            store[str(place)] = variable

    def load_own_variables(self, store: Any) -> None:
        """Take the weights, as soon as there is a graph that reads them."""
        self._pending = [store[str(place)][()] for place in range(len(store.keys()))]
        if self._call is not None:
            self._assign(self._pending)

    def _assign(self, arrays: list[Any]) -> None:
        for variable, array in zip(self._own, arrays, strict=True):
            variable.assign(array)
        self._pending = None
