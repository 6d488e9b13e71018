"""Pictures within tensors: files of a request as rows, within the limits of the request."""

import base64
import binascii
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from overnight.serving.errors import BadInput, LimitExceeded
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Allowance
from overnight.store.errors import BadPicture, PictureTooLarge
from overnight.store.pictures.reading import read_picture
from overnight.store.schema import TensorSpec

# The key under which TensorFlow Serving's REST interface takes binary values.
B64 = "b64"


def one_row(
    spec: TensorSpec, body: bytes, allowance: Allowance, *, field: str
) -> NDArray[np.uint8]:
    """One PNG, JPEG or WebP as a row: uint8 in the shape of the tensor.

    Raises:
        LimitExceeded: more pixels than the limit; nothing was decoded.
        BadInput: no picture, damaged, or not of the size and colours of the tensor.
    """
    allowance.take_pixels(math.prod(spec.shape), field=field)
    try:
        return read_picture(
            body,
            spec,
            most_pixels=allowance.limits.image_pixels,
            take_pixels=lambda pixels: allowance.take_pixels(pixels, field=field),
        )
    except PictureTooLarge as error:
        raise LimitExceeded(field, expected=error.expected, found=error.found) from None
    except BadPicture as error:
        raise BadInput(field, expected=error.expected, found=error.found) from None


def rows_of(
    spec: TensorSpec, bodies: Sequence[object], allowance: Allowance, *, field: str
) -> NDArray[np.uint8]:
    """Pictures as n rows, each as bytes, as base64, or as `{"b64": …}`: uint8 [n, *shape].

    Raises:
        LimitExceeded, BadInput: as `one_row`, or no base64; naming the row.
    """
    rows = []
    for place, body in enumerate(bodies):
        named = f"{field}[{place}]"
        raw = body if isinstance(body, bytes) else from_base64(body, field=named)
        rows.append(one_row(spec, raw, allowance, field=named))
    return np.stack(rows)


def is_base64(value: object) -> bool:
    """Whether a value is an object with base64 and nothing else."""
    return isinstance(value, dict) and value.keys() == {B64}


def from_base64(value: object, *, field: str) -> bytes:
    """The bytes of a base64 text, bare or as `{"b64": …}`.

    Raises:
        BadInput: it is none.
    """
    text = value[B64] if isinstance(value, dict) and value.keys() == {B64} else value
    if not isinstance(text, str):
        raise BadInput(field, expected='base64, as {"b64": "…"}', found=kind_of(value))
    try:
        return base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise BadInput(field, expected="base64", found=f"{error}"[:80]) from None
