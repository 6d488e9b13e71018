"""What a batch run has done, in files beside its output: so that it continues where it stopped.

<output>.parts/progress.json     the run, and how many parts of it are complete
<output>.parts/…                 parts of a file, and of the rows that were rejected
<output>.scored.json             the run that made the output, once it is complete
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from overnight.store.errors import BadFile, ConfigurationError
from overnight.store.local_files import write_atomically
from overnight.store.values import Value

_PROGRESS = "progress.json"
# Grows when batches, parts or columns are made otherwise: what an earlier one began is refused.
_FORMAT = 1


class RunState(Value):
    """A batch run, as far as it has come.

    `run` is a digest of all that decides its results. `inputs` is that without the version, so that
    a run is continued with the version with which it began. `read` are rows of the input.
    """

    format: int = _FORMAT
    run: str
    inputs: str
    model: str
    version: str
    input: str
    output: str
    began: datetime
    finished: datetime | None = None
    parts: int = 0
    read: int = 0
    scored: int = 0
    rejected: int = 0
    columns: tuple[str, ...] = ()


def digest_of(**parts: Any) -> str:
    """The sha256 of named values, in hexadecimal."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()


def inputs_digest(
    model: str,
    identity: str,
    output: str,
    *,
    keep: Sequence[str] | None,
    outputs: Sequence[str],
    sizes: Mapping[str, int],
) -> str:
    """What decides the results of a run, besides the version."""
    return digest_of(
        format=_FORMAT,
        model=model,
        input=identity,
        output=output,
        keep=None if keep is None else list(keep),
        outputs=list(outputs),
        sizes=dict(sizes),
    )


class PartsFolder:
    """The folder of a run that is not complete."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def state(self) -> RunState | None:
        """The run that began here; None where none did, or where it left nothing to continue.

        Raises:
            BadFile: the file of its progress is damaged.
        """
        path = self.folder / _PROGRESS
        return decode(path.read_bytes(), str(path)) if path.exists() else None

    def save(self, state: RunState) -> None:
        """Keep how far a run is.

        Raises:
            OSError: the folder may not be written to, or the disk is full.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        write_atomically(self.folder / _PROGRESS, state.encoded())

    def part(self, number: int, kind: str) -> Path:
        """The file of a part: its `rows`, or those that were `rejected`."""
        return self.folder / f"{number:06d}.{kind}"

    def remove(self) -> None:
        """Remove the folder with everything that is ours in it."""
        if not self.folder.is_dir():
            return
        for path in [*self.folder.glob("[0-9]*.rows"), *self.folder.glob("[0-9]*.rejected")]:
            path.unlink()
        for path in [*self.folder.glob(".part-*"), self.folder / _PROGRESS]:
            path.unlink(missing_ok=True)
        if any(self.folder.iterdir()):
            raise ConfigurationError(
                f"{self.folder} has files that no batch run made; move them away, and run it again"
            )
        self.folder.rmdir()


def decode(body: bytes, where: str) -> RunState:
    """The state in a file.

    Raises:
        BadFile: it is none, or of another format.
    """
    try:
        state = RunState.model_validate_json(body)
    except ValidationError as error:
        why = str(error.errors()[0]["msg"])
        raise BadFile(where, expected="the progress of a batch run", found=why) from None
    if state.format != _FORMAT:
        raise BadFile(where, expected=f"format {_FORMAT}", found=f"{state.format}")
    return state
