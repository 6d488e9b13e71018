"""Reads an image file as the model takes it: grey, white on black, 0-255."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from overnight.store.errors import BadFile

_LIGHT = 127
# Scanned paper is not quite white: fainter values than this are not ink.
_FAINT = 40


def read_image(file: Path, shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """Read an image as uint8 [height, width]; one of just that size is not scaled.

    A light border means dark ink on paper, and is inverted. Other sizes are cropped to their ink,
    so that a small digit on a large sheet keeps its pixels; the network itself then normalises the
    size and centre as MNIST does.

    Raises:
        BadFile: no image, nothing drawn on it, or a model that does not take images.
    """
    if len(shape) != 2:
        raise BadFile(str(file), expected=f"rows of shape {list(shape)}", found="an image")
    try:
        with Image.open(file) as image:
            grey = np.asarray(_opaque(image).convert("L"))
    except Image.DecompressionBombError as error:
        raise BadFile(str(file), expected="a smaller image", found=str(error)[:200]) from None
    except (UnidentifiedImageError, OSError, ValueError) as error:
        raise BadFile(str(file), expected="an image", found=str(error)[:200]) from None
    ink = 255 - grey if _is_light(_border(grey)) else grey
    if ink.shape == shape:
        return ink
    height, width = shape
    # BOX averages every pixel, so that thin strokes do not vanish between samples.
    fitted = Image.fromarray(_square(_cut(ink, file))).resize((width, height), Image.Resampling.BOX)
    return np.asarray(fitted, dtype=np.uint8)


def _opaque(image: Image.Image) -> Image.Image:
    """Transparent pixels become white, the colour of paper."""
    if not image.has_transparency_data:
        return image
    drawn = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", drawn.size, "white"), drawn)


def _border(grey: NDArray[np.uint8]) -> NDArray[np.uint8]:
    return np.concatenate((grey[0], grey[-1], grey[:, 0], grey[:, -1]))


def _is_light(border: NDArray[np.uint8]) -> bool:
    return float(np.median(border)) > _LIGHT


def _cut(ink: NDArray[np.uint8], file: Path) -> NDArray[np.uint8]:
    drawn = ink > _FAINT
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    if not len(rows):
        raise BadFile(str(file), expected="something drawn", found="an empty image")
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _square(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad to a square in the proportions of MNIST: 20 pixels of ink in 28."""
    side = round(max(ink.shape) * 28 / 20)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    square[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return square
