"""PNG requests: one image is one row of a model whose only input is an image.

Images are untrusted: the chunks are parsed here, only those that make up the pixels are kept, and
only an image of exactly the right size reaches the decoder.
"""

import io
import struct
import zlib
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from overnight.serving.errors import BadInput, LimitExceeded, WrongContentType
from overnight.serving.inference.codecs import v2_binary, v2_json
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.serving.inference.runtime import Array
from overnight.store.schema import TensorSpec

PNG = "image/png"
RAW = "application/octet-stream"

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The chunks of the pixels, and the one that may say how they are turned. Texts, profiles and
# animations are dropped without being unpacked.
_EXIF = b"eXIf"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", _EXIF})
_EXIF_BYTES = 65_536
# Encoders write chunks of 8 kB or more; many tiny ones would only cost time.
_MOST_CHUNKS = 4_096
_FIELD = "the image"


def infer(
    body: bytes, loaded: ModelVersion, limits: Limits, *, raw: bool
) -> tuple[bytes, int | None]:
    """Run one PNG; a v2 response with the first output, whose tensor is raw when `raw`.

    Returns the bytes, and the length of their JSON when a raw tensor follows it.

    Raises:
        WrongContentType: the model's inputs are not one image.
        LimitExceeded: more pixels than the limit.
        BadInput: no PNG, damaged, or not of the size and colours of the model.
    """
    inputs: dict[str, Array] = {
        loaded.predictor.inputs[0].name: read(body, loaded.predictor.inputs, limits)
    }
    response = v2_json.respond(inputs, [loaded.predictor.outputs[0]], loaded)
    return v2_binary.encode({"parameters": {"binary_data_output": True}} if raw else {}, response)


def accepts_raw(accept: str) -> bool:
    """Whether the first media type of `Accept` is raw bytes."""
    return accept.split(",", 1)[0].split(";", 1)[0].strip() == RAW


def read(body: bytes, inputs: tuple[TensorSpec, ...], limits: Limits) -> NDArray[np.uint8]:
    """The image as one row, uint8 [1, h, w] or [1, h, w, 1 or 3].

    Upright, as viewers show it, where EXIF says that it is turned. Colour is converted to grey by
    the weights of Rec. 601 if the model takes grey, as in training.
    """
    spec = _image_input(inputs)
    height, width = spec.shape[:2]
    header, chunks = _chunks(body)
    _check_header(header, height, width, limits)
    try:
        with Image.open(io.BytesIO(chunks), formats=["PNG"]) as image:
            upright = _upright(image)
            _check_size(upright.height, upright.width, height, width)
            pixels = _opaque(upright).convert("RGB" if spec.shape[2:] == (3,) else "L")
        row: NDArray[np.uint8] = np.asarray(pixels, np.uint8).reshape(1, *spec.shape)
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error) as error:
        raise BadInput(_FIELD, expected="a whole PNG", found=str(error)[:200]) from None
    _check_values(spec, row)
    return row


def _image_input(inputs: tuple[TensorSpec, ...]) -> TensorSpec:
    """The only input, which must be an image.

    Raises:
        WrongContentType: it is not, so tensors must be sent.
    """
    spec = inputs[0]
    sides = spec.shape[2:]
    is_flat = len(spec.shape) >= 2 and sides in {(), (1,), (3,)}
    if len(inputs) == 1 and spec.datatype == "UINT8" and is_flat:
        return spec
    tensors = ", ".join(f"{spec.name} {spec.datatype} {list(spec.shape)}" for spec in inputs)
    expected = f"application/json or {RAW}, because the inputs are {tensors}"
    raise WrongContentType("Content-Type", expected=expected, found=PNG)


def _chunks(body: bytes) -> tuple[bytes, bytes]:
    """The thirteen bytes of the header, and a PNG of the needed chunks alone.

    Raises:
        BadInput: no PNG, truncated, or a chunk whose checksum is wrong.
        LimitExceeded: more EXIF than any camera writes.
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
            # The first is checked below, but decoders use the last.
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
    if kind == _EXIF and end - start > _EXIF_BYTES:
        expected = f"at most {_EXIF_BYTES} bytes of EXIF"
        raise LimitExceeded(_FIELD, expected=expected, found=f"{end - start}")
    (checksum,) = struct.unpack_from(">I", body, end - 4)
    if zlib.crc32(memoryview(body)[start + 4 : end - 4]) != checksum:
        raise BadInput(_FIELD, expected="a whole PNG", found=f"a damaged chunk {kind.decode()}")
    return body[start:end]


def _check_header(header: bytes, height: int, width: int, limits: Limits) -> None:
    """Check size and depth before any pixel is unpacked.

    Raises:
        LimitExceeded, BadInput: over the limit, of another size, or deeper than 8 bits.
    """
    actual_width, actual_height, depth = struct.unpack_from(">IIB", header)
    if actual_width * actual_height > limits.image_pixels:
        expected = f"at most {limits.image_pixels} pixels"
        raise LimitExceeded(_FIELD, expected=expected, found=f"{actual_width * actual_height}")
    # EXIF may turn it on its side.
    if (actual_width, actual_height) != (height, width):
        _check_size(actual_height, actual_width, height, width)
    if depth > 8:
        raise BadInput(_FIELD, expected="at most 8 bits a sample", found=f"{depth}")


def _check_size(actual_height: int, actual_width: int, height: int, width: int) -> None:
    """Checked for the header, and again for the decoded image."""
    if (actual_height, actual_width) != (height, width):
        expected = f"height x width {height} x {width}; it is never resized here"
        raise BadInput(_FIELD, expected=expected, found=f"{actual_height} x {actual_width}")


def _upright(image: Image.Image) -> Image.Image:
    """The image as viewers show it.

    Raises:
        BadInput: its EXIF cannot be read, so nobody knows how it is turned.
    """
    # First the pixels, whose faults have reports of their own.
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    # Pillow lets through whatever its parser meets in damaged EXIF: KeyError, struct.error, …
    except Exception as error:  # noqa: BLE001
        raise BadInput(_FIELD, expected="EXIF that can be read", found=repr(error)[:200]) from None


def _opaque(image: Image.Image) -> Image.Image:
    """The image without its alpha channel.

    Raises:
        BadInput: a pixel is transparent, so its colour depends on an unknown background.
    """
    if "transparency" in image.info or image.mode in {"LA", "RGBA"}:
        image = image.convert("RGBA")
        if image.getchannel("A").getextrema() != (255, 255):
            raise BadInput(_FIELD, expected="opaque pixels", found="transparent ones")
    return image


def _check_values(spec: TensorSpec, row: NDArray[Any]) -> None:
    low, high = spec.minimum, spec.maximum
    if (low is not None and row.min() < low) or (high is not None and row.max() > high):
        expected = f"values of {low or 0:g} to {255 if high is None else high:g}"
        raise BadInput(_FIELD, expected=expected, found=f"{row.min()} to {row.max()}")
