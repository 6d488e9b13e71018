"""Lands files given to `overnight ingest` as one arrival of a model."""

import stat
import sys
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.cli.runs.follow import user
from overnight.cli.terminal import progress_bars
from overnight.models.sources.local_folder import (
    FolderFile,
    LeftAlone,
    inspect,
    list_folder,
    still_written,
)
from overnight.store.datasets.landing import Landing
from overnight.store.errors import BadFile
from overnight.store.objects.digests import digest
from overnight.store.objects.size_limits import LANDED_FILE_BYTES
from overnight.store.printable import printable

if TYPE_CHECKING:
    from overnight.flows.run.context import ModelContext


def land(model: str, paths: Sequence[Path]) -> None:
    """Land files as one arrival, named by a digest of its contents: landed twice, it exists once.

    Files of a folder keep their path from it, folder included, because it may be their label.
    Links, pipes and devices are named and left alone.

    Raises:
        BadFile: a folder without files, two files of one name, or a file that is being written.
        UnknownModel
    """
    # Slow to import, which help must not wait for.
    from overnight.flows.run.context import ModelContext
    from overnight.tasks.data.land import arrival_name

    context = ModelContext.open(model)
    files = _named_files(paths)
    if moving := still_written(files.values()):
        raise min(moving, key=lambda file: file.name).changed()
    if len(files) == 1 and _land_in_pieces(context, next(iter(files.values()))):
        return
    size_bytes = sum(file.size_bytes for file in files.values())
    if size_bytes > LANDED_FILE_BYTES:
        expected = f"at most {LANDED_FILE_BYTES:,} bytes in one arrival, which are read at once"
        raise BadFile(
            ", ".join(map(str, paths)), expected=expected, found=f"{size_bytes:,}; land it in parts"
        )
    bodies = {name: file.read() for name, file in files.items()}
    name = arrival_name({file: digest(body) for file, body in bodies.items()})
    arrival = Landing(context.bucket, model).land(name, bodies, by=user(), at=datetime.now(UTC))
    print(f"landed {len(arrival.files)} files as {arrival.name}")


def _land_in_pieces(context: "ModelContext", file: FolderFile) -> bool:
    """Land a file of any length in pieces, when the model's source can; False when it cannot."""
    from overnight.tasks.data.land import land_file

    with progress_bars() as report:
        arrival = land_file(
            context.source,
            context.bucket,
            file,
            model=context.model,
            by=user(),
            at=datetime.now(UTC),
            report=lambda read: report(file.name, read, file.size_bytes),
        )
    if arrival is None or arrival.converted is None:
        return False
    converted = arrival.converted
    rejected = f", {converted.rejected_lines:,} rejected" if converted.rejected_lines else ""
    file_name = printable(converted.file)
    print(f"landed {converted.rows:,} rows of {file_name} as {arrival.name}{rejected}")
    return True


def _named_files(paths: Sequence[Path]) -> dict[str, FolderFile]:
    files: dict[str, FolderFile] = {}
    for path in paths:
        inside = 0
        for file in _files_at(path):
            if isinstance(file, LeftAlone):
                print(printable(str(file)), file=sys.stderr)
                continue
            if file.name in files:
                raise BadFile(file.name, expected="one file of this name", found="two")
            files[file.name] = file
            inside += 1
        if not inside:
            raise BadFile(str(path), expected="at least one file", found="none")
    return files


def _files_at(path: Path) -> Iterator[FolderFile | LeftAlone]:
    """The file at a path, or those of the folder there with their path from it, folder included."""
    if not stat.S_ISDIR(path.lstat().st_mode):
        yield inspect(path, path.name)
        return
    root = path.resolve()
    listing = list_folder(root, deep=True)
    yield from listing.left_alone
    for file in listing.files:
        yield replace(file, name=str(file.path.relative_to(root.parent)))
