"""Notices files of a source's folder that changed after they were ingested.

A file is ingested once, under its name; what is written into it later is in no dataset. The commit
of an arrival remembers its files, and each ingest compares those of the folder with it.
"""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime

from overnight.models.sources.local_folder import FolderSource, SourceFile
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Arrival
from overnight.store.errors import BadFile
from overnight.tasks.data.land import arrival_name

# Where a commit keeps what an arrival was; folders of pictures are too many files for a commit.
KEY = "delivered"
_MOST_FILES = 8


def delivered(arrival: Arrival) -> dict[str, str]:
    """What the commit of an arrival remembers of it."""
    if arrival.converted is None and len(arrival.files) > _MOST_FILES:
        return {}
    files = {name: (file.size_bytes, file.sha256) for name, file in arrival.files.items()}
    if (converted := arrival.converted) is not None:
        files = {converted.file: (converted.size_bytes, converted.sha256)}
    return {KEY: json.dumps({"at": arrival.delivered_at.isoformat(), "files": files})}


def changed_files(source: FolderSource, rows: Dataset, *, model: str) -> Iterator[str]:
    """A sentence about each file that is not as it was when it was ingested."""
    commits = rows.arrival_commits()
    for name, file in source.arrival_files().items():
        size_bytes = _changed_from(file, commits.get(name, {}))
        if size_bytes is None or _landed_since(file, commits):
            continue
        yield (
            f"{file.name} changed after it was ingested as {name} ({size_bytes:,} bytes then, "
            f"{file.size_bytes:,} now), and is not read again: {_command(file, model)} adds its "
            f"new rows, and `overnight exclude {model} {name}` leaves out those that were wrong"
        )


def _command(file: SourceFile, model: str) -> str:
    if file.place.startswith("s3://"):
        return f"`overnight ingest {model} FILE` with a copy of {file.place}"
    return f"`overnight ingest {model} {file.place}`"


def _changed_from(file: SourceFile, commit: Mapping[str, str]) -> int | None:
    """The size of a file when it was ingested, if it is another one now."""
    if KEY not in commit:
        return None
    known = json.loads(commit[KEY])
    if file.name not in known["files"]:
        return None
    size_bytes, sha256 = known["files"][file.name]
    # Its digest only where its time leaves a doubt: folders may be large.
    if file.size_bytes == size_bytes:
        written_at = file.mtime_ns / 1e9
        if written_at <= datetime.fromisoformat(known["at"]).timestamp():
            return None
        if _digest(file) in {sha256, None}:
            return None
    return int(size_bytes)


def _landed_since(file: SourceFile, commits: Mapping[str, Mapping[str, str]]) -> bool:
    """Whether somebody ingested the file by hand, as it is now."""
    sha256 = _digest(file)
    return sha256 is None or arrival_name({file.name: sha256}) in commits


def _digest(file: SourceFile) -> str | None:
    """None for a file that is being written: the next run compares it."""
    try:
        return file.digest()
    except BadFile:
        return None
