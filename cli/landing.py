"""Delivers files by hand into a model's landing."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

from cli.following import user
from infra import connections
from infra.settings import load
from store import landing
from store.bucket import digest
from store.errors import BadFile


def land(model: str, paths: Sequence[Path]) -> None:
    """Land files as one arrival, named by its contents: delivered twice, it is there once.

    Files of a folder go by their path from it, folder included, because it may be their label.

    Raises:
        BadFile: a folder without files, or two files of one name.
        UnknownModel
    """
    import models  # a second of CPU, which help need not pay

    models.find(model)
    files: dict[str, bytes] = {}
    for path in paths:
        for name, file in _files(path):
            if name in files:
                raise BadFile(name, expected="one file of this name", found="two")
            files[name] = file.read_bytes()
    contents = "".join(f"{name}\0{digest(body)}\0" for name, body in sorted(files.items()))
    name = f"by-hand-{digest(contents.encode())[:16]}"
    bucket = connections.bucket(load())
    arrival = landing.land(bucket, model, name, files, by=user(), at=datetime.now(UTC))
    print(f"landed {len(arrival.files)} files as {arrival.name}")


def _files(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(path.name, path)]
    root = path.resolve()
    inside = [
        found
        for found in sorted(root.rglob("*"))
        if found.is_file() and not _is_hidden(found.relative_to(root))
    ]
    if not inside:
        raise BadFile(str(path), expected="at least one file in the folder", found="none")
    return [(str(found.relative_to(root.parent)), found) for found in inside]


def _is_hidden(inside: Path) -> bool:
    """Whether it lies under a hidden name; the folder that was asked for is wanted anyway."""
    return any(part.startswith(".") for part in inside.parts)
