r"""The digest of rows, which names a snapshot whatever the order of its rows.

Manifests record it, and what they record must stay checkable: each format stays as it is, and new
digests are of the newest. In format 1 a missing value and the text `\N` are the same, and so are
values whose tabs or line ends were moved from one to the next.
"""

import hashlib
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

NEWEST_FORMAT = 2
_TEXT = pa.large_string()


def row_digest(rows: pa.Table, format_: int, *, without: Collection[str]) -> str:
    """sha256 over the sorted rows, each as the text of its columns ordered by name.

    The columns in `without` are ignored.
    """
    names = sorted(set(rows.column_names) - set(without))
    texts = [_as_text(rows.column(name)) for name in names]
    return _joined_by_tabs(names, texts) if format_ == 1 else _with_lengths(names, texts)


def _as_text(column: pa.ChunkedArray) -> pa.ChunkedArray:
    """A column as texts; of a list each element with its length, so that no two are the same."""
    kind = column.type
    is_list = (pa.types.is_list, pa.types.is_large_list, pa.types.is_fixed_size_list)
    if not any(check(kind) for check in is_list):
        return column.cast(pa.string()).cast(_TEXT)
    return pa.chunked_array([_list_as_text(chunk) for chunk in column.chunks], _TEXT)


def _list_as_text(lists: pa.Array) -> pa.Array:
    """Lists as texts; null where a list is null."""
    # Elements of lists that are null are left out, so that each list begins where one ended.
    elements = _as_text(pa.chunked_array([pc.list_flatten(lists)]))
    length = pc.binary_length(elements).cast(_TEXT)
    cells = pc.fill_null(
        pc.binary_join_element_wise(length, elements, pa.scalar(":", _TEXT)), pa.scalar("-", _TEXT)
    )
    counts = pc.fill_null(pc.list_value_length(lists), 0).to_numpy(zero_copy_only=False)
    offsets = np.concatenate([[0], np.cumsum(counts)]).astype(np.int64)
    joined = pc.binary_join(
        pa.LargeListArray.from_arrays(offsets, cells.combine_chunks()), pa.scalar(";", _TEXT)
    )
    return pc.if_else(pc.is_valid(lists), joined, pa.scalar(None, _TEXT))


def _joined_by_tabs(names: list[str], texts: list[pa.ChunkedArray]) -> str:
    lines = pc.binary_join_element_wise(
        *texts, pa.scalar("\t", _TEXT), null_handling="replace", null_replacement="\\N"
    )
    text = "\n".join(["\t".join(names), *sorted(lines.to_pylist())])
    return hashlib.sha256(text.encode()).hexdigest()


def _with_lengths(names: list[str], texts: list[pa.ChunkedArray]) -> str:
    """Each value with its length before it, so that no two lists of values give the same text."""
    header = "".join(f"{len(name.encode())}:{name}" for name in names)
    cells = []
    for text in texts:
        length = pc.binary_length(text).cast(_TEXT)
        cell = pc.binary_join_element_wise(length, text, pa.scalar(":", _TEXT))
        # No length begins so.
        cells.append(pc.fill_null(cell, pa.scalar("-", _TEXT)))
    lines = pc.binary_join_element_wise(*cells, pa.scalar("", _TEXT))
    result = hashlib.sha256(f"{len(names)} columns {header}".encode())
    for line in sorted(lines.to_pylist()):
        result.update(line.encode())
    return result.hexdigest()
