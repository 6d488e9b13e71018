"""The IDX files in which MNIST is published (LeCun, Cortes and Burges 1998).

Big-endian: a magic number (2051 images, 2049 labels), one length a dimension, then bytes.
"""

import gzip
import io
import struct
import zlib

import numpy as np
from numpy.typing import NDArray

from overnight.models.digits.rows import SIDE
from overnight.store.errors import BadFile

IMAGES, LABELS = 2051, 2049
_NAMES = {IMAGES: "images", LABELS: "labels"}
# Ten times the whole of MNIST: more than any delivery has, less than a machine has memory.
MAXIMUM_BYTES = 500_000_000


def decode(file: str, body: bytes, magic: int) -> NDArray[np.uint8]:
    """The images, uint8 [n, 28, 28], or labels, uint8 [n], of a plain or gzipped file.

    Raises:
        BadFile: truncated, too long, of the other magic number, or of another image size.
    """
    body = decompress(file, body)
    header_bytes = 16 if magic == IMAGES else 8
    if len(body) < header_bytes:
        raise BadFile(
            file, expected=f"an IDX header of {header_bytes} bytes", found=f"{len(body)} bytes"
        )
    found_magic, *shape = struct.unpack_from(f">{header_bytes // 4}I", body)
    if found_magic != magic:
        raise BadFile(file, expected=_describe(magic), found=_describe(found_magic))
    if shape[1:] not in ([], [SIDE, SIDE]):
        raise BadFile(
            file, expected=f"images of {SIDE} × {SIDE}", found=f"{shape[1]} × {shape[2]} pixels"
        )
    expected_bytes = header_bytes + int(np.prod(shape, dtype=np.uint64))
    if len(body) != expected_bytes:
        raise BadFile(
            file,
            expected=f"{expected_bytes:,} bytes for {shape[0]:,} {_NAMES[magic]}",
            found=f"{len(body):,} bytes",
        )
    return np.frombuffer(body, np.uint8, offset=header_bytes).reshape(shape)


def encode(array: NDArray[np.uint8]) -> bytes:
    """The IDX file of images [n, 28, 28] or labels [n]."""
    magic = IMAGES if array.ndim > 1 else LABELS
    return struct.pack(f">{1 + array.ndim}I", magic, *array.shape) + array.tobytes()


def compress(body: bytes) -> bytes:
    """Gzip deterministically: no time stamp in the header."""
    return gzip.compress(body, compresslevel=1, mtime=0)


def decompress(file: str, body: bytes) -> bytes:
    """The body of a file, decompressed when it begins as gzip does, whatever its name.

    Raises:
        BadFile: damaged, or larger than `MAXIMUM_BYTES` when decompressed.
    """
    if not body.startswith(b"\x1f\x8b"):
        if file.endswith(".gz"):
            raise BadFile(file, expected="a gzip file", found=f"{body[:4].hex() or 'no'} bytes")
        return body
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(body)) as stream:
            # One byte more than allowed: a small file can decompress to any size.
            plain = stream.read(MAXIMUM_BYTES + 1)
    except (EOFError, OSError, zlib.error) as error:
        raise BadFile(file, expected="a whole gzip file", found=str(error)) from None
    if len(plain) > MAXIMUM_BYTES:
        raise BadFile(file, expected=f"at most {MAXIMUM_BYTES:,} bytes when unpacked", found="more")
    return plain


def _describe(magic: int) -> str:
    return f"the magic number {magic} ({_NAMES.get(magic, 'nothing known')})"
