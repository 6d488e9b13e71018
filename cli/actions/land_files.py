"""Lands files given to `overnight ingest` as one arrival of a model."""

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from overnight.cli.runs.follow import user
from overnight.cli.terminal import progress_bars
from overnight.store.datasets.landing import Landing
from overnight.store.errors import BadFile
from overnight.store.objects.digests import digest

if TYPE_CHECKING:
    from overnight.flows.run.context import ModelContext


def land(model: str, paths: Sequence[Path]) -> None:
    """Land files as one arrival, named by a digest of its contents: landed twice, it exists once.

    Files of a folder keep their path from it, folder included, because it may be their label.

    Raises:
        BadFile: a folder without files, or two files of one name.
        UnknownModel
    """
    # Slow to import, which help must not wait for.
    from overnight.flows.run.context import ModelContext
    from overnight.tasks.data.land import arrival_name

    context = ModelContext.open(model)
    if len(paths) == 1 and paths[0].is_file() and _land_in_pieces(context, paths[0]):
        return
    files: dict[str, bytes] = {}
    for path in paths:
        for name, file in _named_files(path):
            if name in files:
                raise BadFile(name, expected="one file of this name", found="two")
            files[name] = file.read_bytes()
    name = arrival_name({file: digest(body) for file, body in files.items()})
    arrival = Landing(context.bucket, model).land(name, files, by=user(), at=datetime.now(UTC))
    print(f"landed {len(arrival.files)} files as {arrival.name}")


def _land_in_pieces(context: "ModelContext", path: Path) -> bool:
    """Land a file of any length in pieces, when the model's source can; False when it cannot."""
    from overnight.tasks.data.land import land_file

    size = path.stat().st_size
    with progress_bars() as report:
        arrival = land_file(
            context.source,
            context.bucket,
            path,
            model=context.model,
            by=user(),
            at=datetime.now(UTC),
            report=lambda read: report(path.name, read, size),
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
