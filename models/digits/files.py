"""Reads arrivals of digits in any supported format.

A file is read whole or rejected whole, but for a CSV, whose invalid lines are kept apart.
"""

import re
from collections.abc import Callable, Mapping
from pathlib import PurePosixPath

from overnight.models.definition import Reading
from overnight.models.digits import idx
from overnight.models.digits.png import read_png
from overnight.models.digits.rows import Digits, as_rows, checked
from overnight.models.digits.tabular import joined, read_csv, read_npz, read_parquet
from overnight.store.errors import BadFile, BadLines

_FORMS: dict[str, Callable[[str, bytes], Digits]] = {
    ".npz": read_npz,
    ".parquet": read_parquet,
    ".png": read_png,
}
_IDX_NAME = re.compile(r"idx\d|ubyte|\.idx$")
_ROLES = re.compile(r"(images|labels)(-idx\d)?|idx\d")


def read_files(files: Mapping[str, bytes]) -> Reading:
    """The digits of all files in order of their names, and the files and lines rejected."""
    idx_files = {file for file, body in files.items() if _is_idx(file, body)}
    parts: list[Digits] = []
    rejected: list[BadFile] = []
    if not files:
        rejected.append(BadFile("the arrival", expected="at least one file", found="none"))
    for file, body in sorted(files.items()):
        try:
            if file not in idx_files:
                digits, bad_lines = _read(file, body)
                parts.append(digits)
                rejected += bad_lines
        except BadFile as error:
            rejected.append(error)
        except Exception as error:  # noqa: BLE001 - a file must not stop the others
            rejected.append(_unreadable(file, error))
    for pair in _pairs(sorted(idx_files)):
        pictures, errors = _read_pair(pair, files)
        parts += pictures
        rejected += errors
    return Reading(as_rows(joined(parts)), tuple(rejected))


def _unreadable(file: str, error: Exception) -> BadFile:
    """The rejection of a file on which a library failed unexpectedly."""
    reason = f"{type(error).__name__}: {error}"[:200]
    return BadFile(file, expected="a file that can be read", found=reason)


def _read(file: str, body: bytes) -> tuple[Digits, tuple[BadLines, ...]]:
    name = file.lower().removesuffix(".gz")
    if name.endswith(".csv"):
        return read_csv(file, body)
    form = _FORMS.get(PurePosixPath(name).suffix)
    if form is None:
        raise BadFile(
            file,
            expected="IDX, CSV, Parquet, .npz, or PNG in a folder named after its digit",
            found=f"the ending {PurePosixPath(name).suffix!r}",
        )
    return form(file, idx.decompress(file, body)), ()


def _is_idx(file: str, body: bytes) -> bool:
    name = PurePosixPath(file).name.lower().removesuffix(".gz")
    return bool(_IDX_NAME.search(name)) or body.startswith(b"\0\0\x08")


def _pairs(names: list[str]) -> list[list[str]]:
    """Group names that differ only in the words images and labels."""
    pairs: dict[str, list[str]] = {}
    for name in names:
        path = PurePosixPath(name.lower().removesuffix(".gz"))
        pairs.setdefault(str(path.with_name(_ROLES.sub("*", path.name))), []).append(name)
    return list(pairs.values())


def _read_pair(pair: list[str], files: Mapping[str, bytes]) -> tuple[list[Digits], list[BadFile]]:
    """Images with their labels; when one file is rejected, its partner is rejected with it."""
    magics = {file: _magic(file, files[file]) for file in pair}
    if sorted(magics.values()) != [idx.LABELS, idx.IMAGES]:
        expected = "one file of images with one of labels of the same name"
        return [], [BadFile(file, expected=expected, found=f"{len(pair)} files") for file in pair]
    images, labels = sorted(pair, key=lambda file: magics[file], reverse=True)
    try:
        pictures = idx.decode(images, files[images], idx.IMAGES)
    except BadFile as error:
        return [], [error, _partner_of(labels, images)]
    try:
        return [checked(labels, pictures, idx.decode(labels, files[labels], idx.LABELS))], []
    except BadFile as error:
        return [], [_partner_of(images, labels), error]


def _partner_of(file: str, rejected: str) -> BadFile:
    return BadFile(file, expected=f"a valid {rejected} with it", found="a rejected one")


def _magic(file: str, body: bytes) -> int:
    """The magic number that a file should have, by its name, else by its header."""
    name = PurePosixPath(file).name.lower()
    for part, magic in (("labels", idx.LABELS), ("images", idx.IMAGES), ("idx1", idx.LABELS)):
        if part in name:
            return magic
    return idx.LABELS if body[3:4] == b"\x01" else idx.IMAGES
