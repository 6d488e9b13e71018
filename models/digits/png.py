"""Reads digits from PNG files, one image a file, in folders named after their labels."""

import io
import struct
from pathlib import PurePosixPath

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from overnight.models.digits.rows import CLASSES, SIDE, Digits
from overnight.store.errors import BadFile

# Grey, black and white, and colour; transparency does not say what is black.
_MODES = {"L", "1", "RGB", "P"}
_SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The signature, then a chunk that begins with width and height.
_HEADER_BYTES = 24


def read_png(file: str, body: bytes) -> Digits:
    """One digit from a file called like `7/anything.png`.

    Raises:
        BadFile: no folder named after a digit, or no picture of 28 × 28.
    """
    folder = PurePosixPath(file).parent.name
    if folder not in {str(label) for label in range(CLASSES)}:
        raise BadFile(
            file,
            expected="a folder named after the digit, 0 to 9, such as 7/picture.png",
            found=f"the folder {folder!r}" if folder else "no folder",
        )
    return Digits(decode_png(file, body).reshape(1, SIDE, SIDE), np.array([int(folder)], np.int8))


def decode_png(file: str, body: bytes) -> NDArray[np.uint8]:
    """The grey values of a PNG, uint8 [784], turned upright as its metadata say (EXIF).

    Raises:
        BadFile: no PNG, damaged, transparent, or not of 28 × 28 pixels.
    """
    if not body.startswith(_SIGNATURE) or len(body) < _HEADER_BYTES:
        raise BadFile(file, expected="a PNG", found=f"{len(body):,} bytes of something else")
    # Before anything is decompressed: a small file can claim to be a vast image.
    width, height = struct.unpack_from(">II", body, _HEADER_BYTES - 8)
    if (width, height) != (SIDE, SIDE):
        raise BadFile(
            file, expected=f"a picture of {SIDE} × {SIDE} pixels", found=f"{width} × {height}"
        )
    try:
        picture = Image.open(io.BytesIO(body), formats=["PNG"])
        if picture.mode not in _MODES or "transparency" in picture.info:
            raise BadFile(
                file,
                expected="a grey or RGB picture of 8 bits without transparency",
                found=f"the mode {picture.mode}",
            )
        # What every viewer shows: a camera stores the picture as it was held.
        upright = ImageOps.exif_transpose(picture)
        return np.asarray(upright.convert("L"), np.uint8).reshape(-1)
    except BadFile:
        raise
    # Pillow lets through whatever its parser meets in damaged EXIF: KeyError, struct.error, …
    except Exception as error:  # noqa: BLE001
        raise BadFile(file, expected="a whole PNG", found=str(error) or repr(error)) from None
