"""Texts of a request: flat, nested, or raw, each after its length; categories become numbers."""

import math
from collections.abc import Sequence
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import BadInput
from overnight.serving.inference import vocabulary
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Allowance
from overnight.serving.inference.pictures import from_base64, is_base64
from overnight.serving.inference.validation import where
from overnight.store.schema import TensorSpec

Texts = NDArray[np.object_]


def read(
    spec: TensorSpec, flat: Sequence[Any], n: int, allowance: Allowance, *, field: str, nested: bool
) -> Texts:
    """Texts of n rows as an array of `str`, [n, *shape]; None is one that is missing.

    `{"b64": …}` is text in UTF-8, as TensorFlow Serving's clients send bytes.

    Raises:
        LimitExceeded: longer than the limit, all together.
        BadInput: naming the element that is no text, or missing where none may be.
    """
    shape = (n, *spec.shape)
    texts = np.empty(len(flat), object)
    for place, value in enumerate(flat):
        if type(value) is str:
            allowance.take_text(value, field=field)
            texts[place] = value
            continue
        named = _named(field, place, shape if nested else (len(flat),))
        if is_base64(value):
            text = _utf8(from_base64(value, field=named), field=named)
            allowance.take_text(text, field=field)
            texts[place] = text
        elif value is not None or not spec.accepts_missing:
            raise BadInput(named, expected=_expected(spec), found=kind_of(value))
    return texts.reshape(shape)


def flat_texts(values: object, count: int, *, field: str) -> list[Any]:
    """Texts as a flat list: raw, each after its length in four bytes, or a list as it is.

    Raises:
        BadInput: no list, or of another length.
    """
    flat: list[Any] = []
    if isinstance(values, memoryview):
        flat = list(islice(vocabulary.split(values, field=field), count + 1))
    elif isinstance(values, list):
        flat = values
    else:
        raise BadInput(field, expected=f"a list of {count} texts", found=kind_of(values))
    if len(flat) != count:
        raise BadInput(field, expected=f"{count} texts, as `shape` says", found=f"{len(flat)}")
    return flat


def count_of(spec: TensorSpec, n: int) -> int:
    """How many texts n rows have."""
    return n * math.prod(spec.shape)


def _utf8(raw: bytes, *, field: str) -> str:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadInput(field, expected="a text in UTF-8", found="other bytes") from None


def _expected(spec: TensorSpec) -> str:
    return "a text or null" if spec.accepts_missing else "a text"


def _named(field: str, place: int, shape: tuple[int, ...]) -> str:
    return f"{field}{where(np.unravel_index(place, shape))}"
