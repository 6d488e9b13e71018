"""Compressed files: the compression is seen in their first bytes or their name."""

import bz2
import gzip
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from io import BufferedReader
from typing import BinaryIO, cast

import pyarrow as pa

from overnight.models.sources.csv_dialect import Packing
from overnight.store.errors import BadFile

_SIGNATURES: dict[bytes, Packing] = {
    b"\x1f\x8b": "gzip",
    b"BZh": "bzip2",
    b"\x28\xb5\x2f\xfd": "zstd",
}
SUFFIXES: dict[str, Packing] = {".gz": "gzip", ".bz2": "bzip2", ".zst": "zstd"}


def unpacked(name: str, file: BinaryIO, packed: Sequence[Packing] = ("gzip",)) -> BinaryIO:
    """The bytes of a file, unpacked when they begin as one of these does or the name says so."""
    place = file.tell()
    head = file.read(4)
    file.seek(place)
    kinds = [kind for signature, kind in _SIGNATURES.items() if head.startswith(signature)]
    kinds += [kind for suffix, kind in SUFFIXES.items() if name.lower().endswith(suffix)]
    kind = next((kind for kind in kinds if kind in packed), None)
    if kind == "gzip":
        return cast("BinaryIO", gzip.GzipFile(fileobj=file))
    if kind == "bzip2":
        return cast("BinaryIO", bz2.BZ2File(file))
    if kind == "zstd":
        stream = pa.CompressedInputStream(pa.PythonFile(file, mode="r"), "zstd")
        return cast("BinaryIO", BufferedReader(stream))
    return file


@contextmanager
def unpacking_errors(name: str) -> Iterator[None]:
    """Raise what reading an `unpacked` file raises as BadFile."""
    try:
        yield
    except (OSError, EOFError, zlib.error) as error:
        suffixes = (kind for suffix, kind in SUFFIXES.items() if name.lower().endswith(suffix))
        kind = next(suffixes, "gzip")
        raise BadFile(name, expected=f"a {kind} file", found=f"{error}"[:200]) from None
