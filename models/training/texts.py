"""Layers for texts.

Imported by networks only, in the training process: it imports TensorFlow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import ops

from overnight.store.schema import Schema


def mean_of_words(tensors: Schema, inputs: Mapping[str, Any], name: str, *, width: int = 24) -> Any:
    """The mean of the embeddings of a text's pieces, float32 [n, width]; padding counts nothing.

    Args:
        name: an input with `text`, one text a row.
    """
    spec = next(spec for spec in tensors.inputs if spec.name == name)
    assert spec.text is not None
    pieces = inputs[name]
    # Piece 0 pads.
    present = ops.expand_dims(ops.cast(pieces > 0, "float32"), -1)
    embedded = keras.layers.Embedding(spec.text.size, width)(pieces) * present
    return ops.sum(embedded, axis=1) / (ops.sum(present, axis=1) + 1e-6)
