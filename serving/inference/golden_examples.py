"""Golden examples of a version, read from an npz file within a bound that its headers must keep."""

import io
import math
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from collections.abc import Set as AbstractSet
from typing import IO, Any

import numpy as np
from numpy.lib import format as npy

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.runtime import Array
from overnight.store.encoding.arrays import LENGTHS, packed_names, unpacked
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec

GOLDEN = "golden.npz"
# Training writes twenty rows. A compressed file of a megabyte may unpack to a thousand times that.
MAXIMUM_BYTES = 64 << 20
# Rows that are always allowed, however large one is, and that a loaded version keeps.
KEPT_ROWS = 32
# Texts, and rows of varying length: a Python object each.
MAXIMUM_OBJECTS = 100_000
_LENGTH_BYTES = 8


def read_golden(manifest: Manifest, golden: bytes) -> Mapping[str, Array]:
    """The published arrays of the declared tensors, by `input.<name>` and `output.<name>`.

    The header of each is read before its contents, and nothing that is not declared is unpacked.
    Texts and rows of varying length are objects; they are stored as numbers, never pickled.

    Raises:
        UnfitVersion: an input or every output is missing or has no rows, or the arrays are larger
            than examples may be.
    """
    inputs = [(f"input.{spec.name}", spec) for spec in manifest.tensors.inputs]
    outputs = [(f"output.{spec.name}", spec) for spec in manifest.tensors.outputs]
    try:
        with zipfile.ZipFile(io.BytesIO(golden)) as archive:
            written = {member.removesuffix(".npy") for member in archive.namelist()}
            present = [(name, spec) for name, spec in outputs if name in written]
            if not present:
                raise KeyError(outputs[0][0])
            declared = [*_sent(inputs, written), *present]
            _check_size(archive, declared, written)
            parts = [part for name, _ in declared for part in _parts(name, written)]
            arrays = unpacked({part: _array(archive, part) for part in parts})
        for name, _ in inputs:
            if name in arrays and len(arrays[name]) == 0:
                raise ValueError(f"{name} has no rows")
    except (ValueError, KeyError, OSError, EOFError, zipfile.BadZipFile, RuntimeError) as error:
        # `zipfile` raises RuntimeError for an encrypted member, and KeyError for a missing one.
        raise UnfitVersion(
            manifest.model, manifest.version, f"{GOLDEN} is not a set of golden examples: {error}"
        ) from None
    return arrays


def _sent(
    inputs: Iterable[tuple[str, TensorSpec]], written: AbstractSet[str]
) -> list[tuple[str, TensorSpec]]:
    """The inputs that are in a file; only those that have a default may be absent.

    Raises:
        KeyError: one is missing.
    """
    sent = []
    for name, spec in inputs:
        if _parts(name, written):
            sent.append((name, spec))
        elif spec.default is None:
            raise KeyError(name)
    return sent


def _parts(name: str, written: AbstractSet[str]) -> list[str]:
    """The arrays of a file that hold a tensor: itself, or its contents and their lengths."""
    return [part for part in packed_names(name) if part in written]


def kept_rows(inputs: Mapping[str, Array]) -> Mapping[str, Array]:
    """The first rows of each input, copied, so that the rest is freed."""
    return {
        name: rows if len(rows) <= KEPT_ROWS else rows[:KEPT_ROWS].copy()
        for name, rows in inputs.items()
    }


def row_bytes(specs: Iterable[TensorSpec]) -> int:
    """Bytes of one row of all these tensors together; of texts, those of the references to them."""
    return sum(
        math.prod(spec.shape) * np.dtype(NUMPY_TYPES[spec.datatype]).itemsize for spec in specs
    )


def _check_size(
    archive: zipfile.ZipFile, declared: Sequence[tuple[str, TensorSpec]], written: AbstractSet[str]
) -> None:
    allowed = max(MAXIMUM_BYTES, KEPT_ROWS * row_bytes(spec for _, spec in declared))
    parts = [part for name, _ in declared for part in _parts(name, written)]
    sizes = {part: _array_bytes(archive, part) for part in parts}
    if sum(sizes.values()) > allowed:
        raise ValueError(f"unpacked it has {sum(sizes.values())} bytes, at most {allowed} are read")
    # Each length becomes an object, which takes many times the bytes of the number.
    objects = sum(sizes[part] for part in parts if part.endswith(LENGTHS)) // _LENGTH_BYTES
    if objects > MAXIMUM_OBJECTS:
        raise ValueError(f"it has {objects} texts or lists, at most {MAXIMUM_OBJECTS} are read")


def _array_bytes(archive: zipfile.ZipFile, name: str) -> int:
    with archive.open(f"{name}.npy") as member:
        shape, dtype = _header(member)
    if not shape or min(shape) < 0:
        raise ValueError(f"{name} has the shape {shape}, expected rows")
    return math.prod(shape) * dtype.itemsize


def _header(member: IO[bytes]) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = npy.read_magic(member)
    if version == (1, 0):
        shape, _, dtype = npy.read_array_header_1_0(member)
    elif version == (2, 0):
        shape, _, dtype = npy.read_array_header_2_0(member)
    else:
        raise ValueError(f"an array of npy format {version}, expected 1.0 or 2.0")
    return shape, dtype


def _array(archive: zipfile.ZipFile, name: str) -> Array:
    with archive.open(f"{name}.npy") as member:
        array: Array = npy.read_array(member, allow_pickle=False)
    return array
