"""Lands files given to `overnight ingest` as one arrival of a model."""

import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.cli.runs.follow import user
from overnight.infra import connections
from overnight.infra.settings import load
from overnight.store.datasets.landing import Landing
from overnight.store.errors import BadFile
from overnight.store.objects.digests import digest

if TYPE_CHECKING:
    from overnight.models.definition import ModelDefinition


def land(model: str, paths: Sequence[Path]) -> None:
    """Land files as one arrival, named by a digest of its contents: landed twice, it exists once.

    Files of a folder keep their path from it, folder included, because it may be their label.

    Raises:
        BadFile: a folder without files, or two files of one name.
        UnknownModel
    """
    from overnight import models  # slow to import, which help must not wait for
    from overnight.tasks.data.land import arrival_name

    definition = models.find(model)
    if len(paths) == 1 and paths[0].is_file() and _streamed(definition, paths[0]):
        return
    files: dict[str, bytes] = {}
    for path in paths:
        for name, file in _named_files(path):
            if name in files:
                raise BadFile(name, expected="one file of this name", found="two")
            files[name] = file.read_bytes()
    name = arrival_name({file: digest(body) for file, body in files.items()})
    bucket = connections.bucket(load())
    arrival = Landing(bucket, model).land(name, files, by=user(), at=datetime.now(UTC))
    print(f"landed {len(arrival.files)} files as {arrival.name}")


def _streamed(definition: "ModelDefinition", path: Path) -> bool:
    """Land a file of any length in pieces, when the model's source can; False when it cannot."""
    from rich.progress import BarColumn, DownloadColumn, Progress, TimeRemainingColumn

    from overnight.models.definition import Places
    from overnight.tasks.data.land import land_file

    settings = load()
    places = Places(
        folder=settings.source_folders.get(definition.name),
        cache=settings.home / "sources" / definition.name,
    )
    columns = "{task.description}", BarColumn(), DownloadColumn(), TimeRemainingColumn()
    with Progress(*columns, transient=True, disable=not sys.stderr.isatty()) as progress:
        task = progress.add_task(path.name, total=path.stat().st_size)
        arrival = land_file(
            definition.open_source(places),
            connections.bucket(settings),
            path,
            model=definition.name,
            by=user(),
            at=datetime.now(UTC),
            report=lambda read: progress.update(task, completed=read),
        )
    if arrival is None or arrival.converted is None:
        return False
    converted = arrival.converted
    rejected = f", {converted.rejected_lines:,} rejected" if converted.rejected_lines else ""
    print(f"landed {converted.rows:,} rows of {converted.file} as {arrival.name}{rejected}")
    return True


def _named_files(path: Path) -> list[tuple[str, Path]]:
    if path.is_file():
        return [(path.name, path)]
    root = path.resolve()
    inside = [
        file
        for file in sorted(root.rglob("*"))
        # Files under hidden names are none of the data; the given folder itself may be hidden.
        if file.is_file() and not any(part.startswith(".") for part in file.relative_to(root).parts)
    ]
    if not inside:
        raise BadFile(str(path), expected="at least one file in the folder", found="none")
    return [(str(file.relative_to(root.parent)), file) for file in inside]
