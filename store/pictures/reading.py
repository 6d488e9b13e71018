"""Reads a PNG, JPEG or WebP as one row of an input, in the size and colours that it declares.

Pictures are untrusted: their size is read from the header, and only a picture within the limit, or
of exactly the right size, reaches a decoder.
"""

import io
import zlib
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from overnight.store.errors import BadPicture, PictureTooLarge
from overnight.store.pictures.declaration import BLACK, Colour, Picture
from overnight.store.pictures.headers import (
    JPEG_SIGNATURE,
    PictureHeader,
    is_webp,
    jpeg_header,
    webp_header,
)
from overnight.store.pictures.png_chunks import SIGNATURE as PNG_SIGNATURE
from overnight.store.pictures.png_chunks import needed_chunks
from overnight.store.schema import TensorSpec

MOST_PIXELS = 16_000_000
# By the axes after height and width: grey, grey, colour, colour with opacity.
_MODES = {(): "L", (1,): "L", (3,): "RGB", (4,): "RGBA"}
# Averages all pixels that one of the result stands for, so that thin strokes do not vanish.
_FILTER = Image.Resampling.BILINEAR


def read_picture(
    body: bytes,
    spec: TensorSpec,
    *,
    most_pixels: int = MOST_PIXELS,
    take_pixels: Callable[[int], None] = lambda _: None,
) -> NDArray[np.uint8]:
    """A picture as a row, uint8 in the shape of `spec`.

    Upright, as viewers show it, where EXIF says that it is turned. Colour becomes grey by the
    weights of Rec. 601 where the input takes grey. No value is inverted. Other sizes and
    transparent pixels are treated as `spec.picture` declares. `take_pixels` is called with the
    number of pixels before any is decoded.

    Raises:
        PictureTooLarge: more than `most_pixels`; nothing was decoded.
        BadPicture: no picture, damaged, deeper than 8 bits, in colours for print, or of another
            size where `spec` declares no resizing.
    """
    declared = spec.picture or Picture()
    kind, header, needed = _opened(body)
    _check_header(header, spec, declared, most_pixels)
    take_pixels(header.width * header.height)
    try:
        with Image.open(io.BytesIO(needed), formats=[kind]) as image:
            if kind == "JPEG" and declared.resize:
                # Decodes no more detail than is needed: an eighth, a quarter or half of each side.
                image.draft(None, _enclosing(spec, header))
            pixels = _row(_upright(image), spec, declared)
    except (OSError, ValueError, SyntaxError, EOFError, zlib.error) as error:
        raise BadPicture(expected=f"a whole {kind}", found=str(error)[:200]) from None
    row: NDArray[np.uint8] = np.asarray(pixels, np.uint8).reshape(spec.shape)
    _check_values(spec, row)
    return row


def _opened(body: bytes) -> tuple[str, PictureHeader, bytes]:
    """The format, what its header says, and what a decoder needs of it."""
    if body.startswith(PNG_SIGNATURE):
        header, needed = needed_chunks(body)
        return "PNG", header, needed
    if body.startswith(JPEG_SIGNATURE):
        return "JPEG", jpeg_header(body), body
    if is_webp(body):
        return "WEBP", webp_header(body), body
    raise BadPicture(expected="a PNG, JPEG or WebP", found=f"{len(body)} bytes of something else")


def _check_header(
    header: PictureHeader, spec: TensorSpec, declared: Picture, most_pixels: int
) -> None:
    """Check size and depth before any pixel is unpacked."""
    height, width = spec.shape[:2]
    if header.width * header.height > most_pixels:
        raise PictureTooLarge(
            expected=f"at most {most_pixels} pixels", found=f"{header.width * header.height}"
        )
    # EXIF may turn it on its side.
    if declared.resize is None and (header.width, header.height) != (height, width):
        _check_size(header.height, header.width, height, width)
    if header.depth > 8:
        raise BadPicture(expected="at most 8 bits a sample", found=f"{header.depth}")


def _check_size(actual_height: int, actual_width: int, height: int, width: int) -> None:
    """Checked for the header, and again for the decoded picture."""
    if (actual_height, actual_width) != (height, width):
        expected = f"height x width {height} x {width}; it is never resized here"
        raise BadPicture(expected=expected, found=f"{actual_height} x {actual_width}")


def _enclosing(spec: TensorSpec, header: PictureHeader) -> tuple[int, int]:
    """The least width and height to decode, from which any way of resizing only makes smaller.

    Twice the size of the row, so that the final filter still averages.
    """
    height, width = (2 * side for side in spec.shape[:2])
    factor = max(height / header.height, width / header.width)
    if header.height != header.width:
        # It may lie on its side.
        factor = max(factor, width / header.height, height / header.width)
    return round(header.width * factor), round(header.height * factor)


def _row(image: Image.Image, spec: TensorSpec, declared: Picture) -> Image.Image:
    """The picture in the colours and the size of the input."""
    height, width = spec.shape[:2]
    mode = _MODES[spec.shape[2:]]
    converted = (image if mode == "RGBA" else _opaque(image, declared.background)).convert(mode)
    if declared.resize is None:
        _check_size(converted.height, converted.width, height, width)
        return converted
    if converted.size == (width, height):
        return converted
    if declared.resize == "stretch":
        return converted.resize((width, height), _FILTER)
    if declared.resize == "crop":
        return ImageOps.fit(converted, (width, height), _FILTER)
    side = Image.new("RGB", (1, 1), declared.background or BLACK).convert(mode).getpixel((0, 0))
    return ImageOps.pad(converted, (width, height), _FILTER, color=side)  # type: ignore[arg-type]


def _upright(image: Image.Image) -> Image.Image:
    """The picture as viewers show it.

    Raises:
        BadPicture: its EXIF cannot be read, so nobody knows how it is turned.
    """
    # First the pixels, whose faults have reports of their own.
    image.load()
    try:
        return ImageOps.exif_transpose(image)
    # Pillow lets through whatever its parser meets in damaged EXIF: KeyError, struct.error, …
    except Exception as error:  # noqa: BLE001
        raise BadPicture(expected="EXIF that can be read", found=repr(error)[:200]) from None


def _opaque(image: Image.Image, background: Colour | None) -> Image.Image:
    """The picture without its alpha channel.

    Raises:
        BadPicture: a pixel is transparent, so its colour depends on an unknown background.
    """
    if not image.has_transparency_data:
        return image
    drawn = image.convert("RGBA")
    if background is not None:
        return Image.alpha_composite(Image.new("RGBA", drawn.size, (*background, 255)), drawn)
    if drawn.getchannel("A").getextrema() != (255, 255):
        raise BadPicture(expected="opaque pixels", found="transparent ones")
    return drawn


def _check_values(spec: TensorSpec, row: NDArray[np.uint8]) -> None:
    low, high = spec.minimum, spec.maximum
    if (low is not None and row.min() < low) or (high is not None and row.max() > high):
        expected = f"values of {low or 0:g} to {255 if high is None else high:g}"
        raise BadPicture(expected=expected, found=f"{row.min()} to {row.max()}")
