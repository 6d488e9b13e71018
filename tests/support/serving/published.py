"""Versions whose inputs are encoded by their schema, and pictures in colour: all answer what
they were sent (tests/goldens/published and photo).
"""

import io
from pathlib import Path

import numpy as np

from overnight.store.encoding.arrays import packed
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.pictures.declaration import Picture
from overnight.store.schema import Schema, TensorSpec

_GOLDENS = Path(__file__).parents[2] / "goldens"
# Words are numbered from 2 on; 1 is any other.
WORDS = TextEncoding(tokenizer="whitespace", pieces=("red", "green", "blau"), length=4)
TITLE = TensorSpec(name="title", datatype="BYTES", shape=(), text=WORDS)
PRICE = TensorSpec(
    name="price",
    datatype="FP32",
    shape=(),
    minimum=0,
    maximum=100,
    missing=Missing(value=7.5, flag=True),
)
SHOP = TensorSpec(
    name="shop",
    datatype="INT32",
    shape=(),
    vocabulary=("other", "north", "south"),
    otherwise="other",
    missing=Missing(value="south"),
)
CLICKS = TensorSpec(name="clicks", datatype="FP32", shape=(6,), lengths=(2, 6))
WEIGHT = TensorSpec(name="weight", datatype="FP32", shape=(), default=3)
SENT = TensorSpec(name="sent", datatype="FP32", shape=(7,))
DOUBLE = TensorSpec(name="double", datatype="FP32", shape=(2,))
TENSORS = Schema(inputs=(TITLE, PRICE, SHOP, CLICKS, WEIGHT), outputs=(SENT, DOUBLE))

PHOTO = TensorSpec(
    name="photo",
    datatype="UINT8",
    shape=(8, 12, 3),
    picture=Picture(resize="fit", background=(255, 255, 255)),
)
COLOUR = TensorSpec(name="colour", datatype="FP32", shape=(3,), labels=("red", "green", "blue"))
EMBEDDING = TensorSpec(name="embedding", datatype="FP32", shape=(288,))
PHOTO_TENSORS = Schema(inputs=(PHOTO,), outputs=(COLOUR, EMBEDDING))


def files(golden: bytes | None = None) -> dict[str, bytes]:
    """The bundle of the version of texts, gaps and lengths."""
    body = (_GOLDENS / "published" / "predictor.tflite").read_bytes()
    return {"predictor.tflite": body} | ({"golden.npz": golden} if golden else {})


def photo_files() -> dict[str, bytes]:
    """The bundle of the version of pictures."""
    return {"predictor.tflite": (_GOLDENS / "photo" / "predictor.tflite").read_bytes()}


def golden(expected: np.ndarray, **inputs: np.ndarray) -> bytes:
    """Golden examples of published values that expect these answers."""
    body = io.BytesIO()
    arrays = packed({f"input.{name}": rows for name, rows in inputs.items()})
    np.savez(body, **arrays, **{"output.sent": expected})
    return body.getvalue()
