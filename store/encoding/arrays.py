"""Published values in files of arrays without pickle: texts as UTF-8 and lists joined, by length.

An array of objects `x` becomes `x@utf8` or `x@joined`, and `x@lengths`, in which -1 is missing.
"""

from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]
UTF8, JOINED, LENGTHS = "@utf8", "@joined", "@lengths"
_MISSING = -1


def packed(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """Arrays by name as arrays of numbers alone, which `unpacked` gives back.

    Raises:
        ValueError: an array holds neither texts nor lists.
    """
    flat: dict[str, Array] = {}
    for name, array in arrays.items():
        flat |= _packed(name, array) if array.dtype.kind in "OUS" else {name: array}
    return flat


def unpacked(arrays: Mapping[str, Array]) -> dict[str, Array]:
    """The arrays that were packed, by name.

    Raises:
        ValueError: the lengths do not add up to what is there.
    """
    whole: dict[str, Array] = {}
    for name, array in arrays.items():
        base, at, kind = name.rpartition("@")
        if not at:
            whole[name] = array
        elif at + kind in (UTF8, JOINED):
            if base + LENGTHS not in arrays:
                raise ValueError(f"{base} has no lengths")
            whole[base] = _unpacked(base, array, arrays[base + LENGTHS], texts=at + kind == UTF8)
    return whole


def packed_names(name: str) -> tuple[str, ...]:
    """The names under which an array may be in a file: as it is, or in its parts."""
    return name, name + UTF8, name + JOINED, name + LENGTHS


def objects(values: Iterable[Any], n: int) -> Array:
    """An array [n] of n objects, such as lists, of which numpy would otherwise make axes."""
    array = np.empty(n, object)
    for place, value in enumerate(values):
        array[place] = value
    return array


def _packed(name: str, array: Array) -> dict[str, Array]:
    flat = array.reshape(-1).tolist()
    present = [value for value in flat if value is not None]
    lengths = np.array([_MISSING if value is None else 0 for value in flat], np.int64)
    if all(isinstance(value, str) for value in present):
        # A lone surrogate, which JSON can hold, is no UTF-8; it must come back as it was.
        raw = [value.encode("utf-8", "surrogatepass") for value in present]
        utf8 = np.frombuffer(b"".join(raw), np.uint8)
        lengths[lengths != _MISSING] = [len(each) for each in raw]
        return {name + UTF8: utf8, name + LENGTHS: lengths.reshape(array.shape)}
    rows = [np.asarray(value) for value in present]
    if any(row.ndim == 0 or row.dtype.kind in "OUS" for row in rows):
        raise ValueError(f"{name} has objects that are neither texts nor lists of numbers")
    lengths[lengths != _MISSING] = [len(row) for row in rows]
    full = [row for row in rows if len(row)]
    joined = np.concatenate(full) if full else np.zeros(0)
    return {name + JOINED: joined, name + LENGTHS: lengths.reshape(array.shape)}


def _unpacked(name: str, joined: Array, lengths: Array, *, texts: bool) -> Array:
    sizes = lengths.reshape(-1).astype(np.int64)
    if (sizes < _MISSING).any() or int(np.maximum(sizes, 0).sum()) != len(joined):
        raise ValueError(f"the lengths of {name} do not add up to its {len(joined)} values")
    whole = objects(_parts(joined, sizes.tolist(), texts=texts), len(sizes))
    return whole.reshape(lengths.shape)


def _parts(joined: Array, sizes: Iterable[int], *, texts: bool) -> Iterable[Any]:
    start = 0
    for size in sizes:
        if size == _MISSING:
            yield None
            continue
        part = joined[start : start + size]
        yield part.tobytes().decode("utf-8", "surrogatepass") if texts else part
        start += size
