"""Reads the picture of a drawing as a model takes it: bright ink on dark, grey, upright, 0-255."""

from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from overnight.store.errors import BadFile
from overnight.store.schema import TensorSpec

_LIGHT = 127
# Scanned paper is not quite white: fainter values than this are not ink.
_FAINT = 40


def read_image(file: Path, tensor: TensorSpec) -> NDArray[np.uint8]:
    """Read a drawing as uint8 [height, width] of a tensor; one of just that size is not scaled.

    It is turned upright as its metadata say (EXIF). A light border means dark ink on paper, and is
    inverted; other sizes are cropped to their ink, so that a small digit on a large sheet keeps its
    pixels, and the network itself normalises the size and centre.

    Raises:
        BadFile: no image, nothing drawn on it, or deeper samples.
    """
    try:
        with Image.open(file) as image:
            _check_depth(file, image)
            grey = np.asarray(_opaque(ImageOps.exif_transpose(image)).convert("L"))
    except Image.DecompressionBombError as error:
        raise BadFile(str(file), expected="a smaller image", found=str(error)[:200]) from None
    except BadFile:
        raise
    # Pillow lets through whatever its parser meets in damaged EXIF: KeyError, struct.error, …
    except Exception as error:  # noqa: BLE001
        problem = (str(error) or repr(error))[:200]
        raise BadFile(str(file), expected="an image", found=problem) from None
    if _is_light(_border(grey)):
        grey = 255 - grey
    height, width = tensor.shape[:2]
    if grey.shape == (height, width):
        _check_drawn(grey > _FAINT, file)
        return grey.reshape(tensor.shape)
    # BOX averages every pixel, so that thin strokes do not vanish between samples.
    square = Image.fromarray(_square(_cut(grey, file)))
    fitted = square.resize((width, height), Image.Resampling.BOX)
    return np.asarray(fitted, dtype=np.uint8).reshape(tensor.shape)


def _check_depth(file: Path, image: Image.Image) -> None:
    # Pillow clips deeper samples at 255 when it converts them, and so turns them white.
    if image.mode[0] in "IF":
        raise BadFile(str(file), expected="at most 8 bits a sample", found=f"the mode {image.mode}")


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
    _check_drawn(drawn, file)
    rows, columns = np.flatnonzero(drawn.any(axis=1)), np.flatnonzero(drawn.any(axis=0))
    return ink[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def _check_drawn(drawn: NDArray[np.bool_], file: Path) -> None:
    # A network answers an empty picture as surely as any other.
    if not drawn.any():
        raise BadFile(str(file), expected="something drawn", found="an empty image")


def _square(ink: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Pad to a square in the proportions of MNIST: 20 pixels of ink in 28."""
    side = round(max(ink.shape) * 28 / 20)
    square = np.zeros((side, side), np.uint8)
    top, left = (side - ink.shape[0]) // 2, (side - ink.shape[1]) // 2
    square[top : top + ink.shape[0], left : left + ink.shape[1]] = ink
    return square
