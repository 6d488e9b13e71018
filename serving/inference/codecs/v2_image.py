"""Raw images as requests: one PNG is one row of a model whose only input is a picture.

Nothing of a client's image is believed before it is checked: the chunks are walked by hand, only
those that make up the pixels are kept, and only a picture of exactly the right size is decoded.
"""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from overnight.serving.errors import BadInput, LimitExceeded, WrongContentType
from overnight.serving.inference.codecs import v2_binary, v2_json
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array
from overnight.store.schema import TensorSpec

PNG = "image/png"
RAW = "application/octet-stream"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# What makes up the pixels. Texts, profiles and animations are left out, and never unpacked.
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND"})
# Encoders cut pixels into pieces of 8 kB or more; a crowd of tiny ones only costs time.
_MOST_CHUNKS = 4_096
_FIELD = "the image"


def answer(
    body: bytes, loaded: ModelVersion, limits: Limits, *, raw: bool
) -> tuple[bytes, int | None]:
    """Infer from one PNG; the answer alone, in v2's form, its tensor raw when `raw`.

    Returns the bytes, and the length of their JSON when a raw tensor follows it.

    Raises:
        WrongContentType: the model's inputs are not one picture.
        TooMuch: more pixels than the limit.
        BadInput: no PNG, damaged, or another size or kind than the model takes.
    """
    inputs: dict[str, Array] = {
        loaded.predictor.inputs[0].name: read(body, loaded.predictor.inputs, limits)
    }
    answered = v2_json.answered(inputs, [loaded.predictor.outputs[0]], loaded)
    return v2_binary.joined({"parameters": {"binary_data_output": True}} if raw else {}, answered)


def accepts_raw(accept: str) -> bool:
    """Whether bytes are what a client would like best."""
    return accept.split(",", 1)[0].split(";", 1)[0].strip() == RAW


def read(body: bytes, inputs: tuple[TensorSpec, ...], limits: Limits) -> NDArray[np.uint8]:
    """The picture as one row, uint8 [1, h, w] or [1, h, w, 1 or 3].

    Colour becomes grey by Rec. 601's weights where the model takes grey, as it does in training.
    """
    spec = _picture(inputs)
    height, width = spec.shape[:2]
    header, chunks = _chunks(body)
    _check_header(header, height, width, limits)
    try:
        with Image.open(io.BytesIO(chunks), formats=["PNG"]) as picture:
            _check_size(picture.height, picture.width, height, width)
            pixels = _opaque(picture).convert("RGB" if spec.shape[2:] == (3,) else "L")
        row: NDArray[np.uint8] = np.asarray(pixels, np.uint8).reshape(1, *spec.shape)
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error) as error:
        raise BadInput(_FIELD, expected="a whole PNG", found=str(error)[:200]) from None
    _check_values(spec, row)
    return row


def _picture(inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    """The only input, provided it is a picture.

    Raises:
        WrongContentType: it is not, so tensors must be sent.
    """
    spec = inputs[0]
    sides = spec.shape[2:]
    is_flat = len(spec.shape) >= 2 and sides in {(), (1,), (3,)}
    if len(inputs) == 1 and spec.datatype == "UINT8" and is_flat:
        return spec
    told = ", ".join(f"{one.name} {one.datatype} {list(one.shape)}" for one in inputs)
    expected = f"application/json or {RAW}, because the inputs are {told}"
    raise WrongContentType("Content-Type", expected=expected, found=PNG)


def _chunks(body: bytes) -> tuple[bytes, bytes]:
    """The header's thirteen bytes, and a PNG of nothing but the chunks that are needed.

    Raises:
        BadInput: no PNG, cut off, or a chunk that is not what its checksum says.
    """
    if not body.startswith(_SIGNATURE):
        raise BadInput(_FIELD, expected="a PNG", found=f"{len(body)} bytes of something else")
    header, kept, start = b"", [_SIGNATURE], len(_SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if start + 12 > len(body):
            raise BadInput(_FIELD, expected="a whole PNG", found=f"an end after {len(body)} bytes")
        (length,) = struct.unpack_from(">I", body, start)
        kind, end = body[start + 4 : start + 8], start + 12 + length
        if end > len(body):
            raise BadInput(_FIELD, expected="a whole PNG", found=f"an end after {len(body)} bytes")
        if kind == b"IHDR" and header:
            # A decoder believes the last; the one that is checked below is the first.
            raise BadInput(_FIELD, expected="one header", found="two")
        if kind in _KEPT:
            kept.append(_checked(body, start, end, kind))
        if not header:
            if kind != b"IHDR" or length != 13:
                raise BadInput(_FIELD, expected="a PNG's header first", found=repr(kind)[:40])
            header = body[start + 8 : end - 4]
        if kind == b"IEND":
            return header, b"".join(kept)
        start = end
    raise BadInput(_FIELD, expected=f"at most {_MOST_CHUNKS} chunks", found="more")


def _checked(body: bytes, start: int, end: int, kind: bytes) -> bytes:
    (said,) = struct.unpack_from(">I", body, end - 4)
    if zlib.crc32(memoryview(body)[start + 4 : end - 4]) != said:
        raise BadInput(_FIELD, expected="a whole PNG", found=f"a damaged chunk {kind.decode()}")
    return body[start:end]


def _check_header(header: bytes, height: int, width: int, limits: Limits) -> None:
    """Hold what the picture claims to be against what is taken, before a pixel is unpacked.

    Raises:
        TooMuch, BadInput: it claims to be larger than allowed, or of another size or kind.
    """
    found_width, found_height, depth = struct.unpack_from(">IIB", header)
    if found_width * found_height > limits.image_pixels:
        expected = f"at most {limits.image_pixels} pixels"
        raise LimitExceeded(_FIELD, expected=expected, found=f"{found_width * found_height}")
    _check_size(found_height, found_width, height, width)
    if depth > 8:
        raise BadInput(_FIELD, expected="at most 8 bits a sample", found=f"{depth}")


def _check_size(found_height: int, found_width: int, height: int, width: int) -> None:
    """Asked of the header, and again of what the decoder made of it."""
    if (found_height, found_width) != (height, width):
        expected = f"height x width {height} x {width}; it is never resized here"
        raise BadInput(_FIELD, expected=expected, found=f"{found_height} x {found_width}")


def _opaque(picture: Image.Image) -> Image.Image:
    """The picture without its alpha, which must not hide anything.

    Raises:
        BadInput: a pixel is transparent, and what colour lies behind it nobody knows.
    """
    if "transparency" in picture.info or picture.mode in {"LA", "RGBA"}:
        picture = picture.convert("RGBA")
        if picture.getchannel("A").getextrema() != (255, 255):
            raise BadInput(_FIELD, expected="opaque pixels", found="transparent ones")
    return picture


def _check_values(spec: TensorSpec, row: NDArray[Any]) -> None:
    low, high = spec.minimum, spec.maximum
    if (low is not None and row.min() < low) or (high is not None and row.max() > high):
        expected = f"values of {low or 0:g} to {255 if high is None else high:g}"
        raise BadInput(_FIELD, expected=expected, found=f"{row.min()} to {row.max()}")
