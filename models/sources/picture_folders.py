"""`PictureFolders`: pictures in a folder for each class, or in Parquet files of pictures.

    rows/holdout/circle/a.png      the pictures that evaluate every version
    rows/night-0001/circle/b.jpg   an arrival is a folder with a folder for each class
    rows/night-0001/square/c.png
    rows/night-0002.parquet        or a file with the columns `label` and `picture`

Pictures are decoded where arrivals are read, in a process with limits; rows hold pixels.
"""

import hashlib
import io
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.local_folder import (
    FolderFile,
    LeftAlone,
    list_folder,
    still_written,
)
from overnight.models.sources.parquet_file import ParquetReader
from overnight.store.errors import BadFile, BadKey, BadPicture, PictureTooLarge
from overnight.store.objects import keys
from overnight.store.pictures.reading import read_picture
from overnight.store.schema import TensorSpec

LABEL, PICTURE, FILE = "label", "picture", "file"
HOLDOUT, SUFFIX = "holdout", ".parquet"
_PACKED = pa.schema({FILE: pa.string(), LABEL: pa.string(), PICTURE: pa.binary()})
# Of one picture as it comes; and of all that an arrival may unpack to.
_PICTURE_BYTES, _MOST_ROWS, _MOST_BYTES = 50_000_000, 1_000_000, 20_000_000_000


class PictureFolders:
    """Pictures PNG, JPEG and WebP, in the folder of the setting `source_folders`.

    Rows have the columns `label`, the name of a picture's folder, and one named as the input
    `image`, with its pixels as bytes. Pictures with the same pixels are the same row. An arrival
    has to fit into memory.
    """

    def __init__(
        self,
        places: Places,
        *,
        model: str,
        image: TensorSpec,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        """`wait` passes the time in which a young file has to stay the same."""
        self._places, self._model, self._image, self._wait = places, model, image, wait
        self._left_alone: list[LeftAlone] = []

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first arrival by name that is at rest and was not delivered; None after the last.

        The pictures of a folder are delivered as one Parquet file.
        """
        self._left_alone = []
        for name, path in sorted(self._arrivals().items()):
            if name in delivered:
                continue
            if (body := self._packed(path)) is not None:
                return Delivery(name, {f"{name}{SUFFIX}": body})
        return None

    def left_alone(self) -> tuple[LeftAlone, ...]:
        """What the last `deliver` did not read, and why."""
        return tuple(self._left_alone)

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """The pictures of Parquet files; of pictures that cannot be read, their files' names."""
        columns, rejected = self.columns, list[BadFile]()
        tables = [columns.empty_table()]
        for file, body in sorted(files.items()):
            try:
                tables += [self._decoded(file, batch, rejected) for batch in _batches(file, body)]
            except BadFile as error:
                rejected.append(error)
        return Reading(pa.concat_tables(tables), tuple(rejected))

    def holdout(self) -> pa.Table:
        """The pictures of the folder `holdout`, or of `holdout.parquet`.

        Raises:
            SourceUnavailable: there is neither, or it is being written.
            BadFile: a picture cannot be read.
        """
        folder = self._folder()
        path = next(
            (path for path in (folder / HOLDOUT, folder / f"{HOLDOUT}{SUFFIX}") if path.exists()),
            folder / HOLDOUT,
        )
        body = self._packed(path) if path.exists() else None
        if body is None:
            problem = f"{path}: {'it is being written' if path.exists() else 'no such folder'}"
            remedy = "put the pictures there that are to evaluate every version"
            raise SourceUnavailable(f"{self._model}'s holdout", [problem], remedy)
        reading = self.read({path.name: body})
        # Frozen as it is for ever, so that nothing may be left out of it.
        for bad in reading.rejected:
            raise bad
        return reading.rows

    @property
    def columns(self) -> pa.Schema:
        """The columns of rows."""
        return pa.schema(
            [
                pa.field(LABEL, pa.string(), nullable=False),
                pa.field(self._image.name, pa.binary(), nullable=False),
                pa.field("digest", pa.string()),
            ]
        )

    def _arrivals(self) -> dict[str, Path]:
        """The folder or file of each arrival."""
        paths = (path for path in self._folder().iterdir() if not path.name.startswith("."))
        arrivals = {}
        for path in paths:
            stem = path.name.removesuffix(SUFFIX)
            if stem == HOLDOUT:
                continue
            if path.is_symlink() or not (path.is_dir() or path.name.endswith(SUFFIX)):
                why = f"neither a folder with a folder for each class nor a file *{SUFFIX}"
                self._left_alone.append(LeftAlone(path.name, why))
            else:
                arrivals[_arrival(stem)] = path
        return arrivals

    def _packed(self, path: Path) -> bytes | None:
        """The pictures of a folder, or a file, as Parquet; None while it is being written."""
        if path.is_file():
            (file,) = (each for each in list_folder(path.parent).files if each.name == path.name)
            return file.read() if self._rest([file]) else None
        pictures = list(self._pictures(path))
        if not pictures:
            why = "a folder without pictures in folders of their classes"
            self._left_alone.append(LeftAlone(path.name, why))
            return None
        if not self._rest([file for _, file in pictures]):
            return None
        rows = [
            {FILE: f"{label}/{file.name}", LABEL: label, PICTURE: file.read()}
            for label, file in pictures
        ]
        packed = io.BytesIO()
        # Pictures are compressed already.
        pq.write_table(pa.Table.from_pylist(rows, _PACKED), packed, compression="none")
        return packed.getvalue()

    def _pictures(self, arrival: Path) -> Iterator[tuple[str, FolderFile]]:
        for folder in sorted(arrival.iterdir()):
            if folder.name.startswith(".") or folder.is_symlink():
                continue
            if not folder.is_dir():
                why = "beside the folders of the classes"
                self._left_alone.append(LeftAlone(f"{arrival.name}/{folder.name}", why))
                continue
            listing = list_folder(folder)
            self._left_alone += listing.left_alone
            yield from ((folder.name, file) for file in listing.files)

    def _rest(self, files: Iterable[FolderFile]) -> bool:
        young = still_written(files, wait=self._wait)
        self._left_alone += [LeftAlone(file.name, "being written") for file in young]
        return not young

    def _decoded(self, file: str, batch: pa.RecordBatch, rejected: list[BadFile]) -> pa.Table:
        rows = []
        for place, row in enumerate(batch.to_pylist()):
            name = f"{file}: {row.get(FILE) or f'row {place + 1}'}"
            try:
                if row[LABEL] is None or row[PICTURE] is None:
                    raise BadPicture(expected="a label and a picture", found="none")
                pixels = read_picture(row[PICTURE], self._image).tobytes()
            except (BadPicture, PictureTooLarge) as error:
                rejected.append(BadFile(name, expected=error.expected, found=error.found))
                continue
            digest = hashlib.sha256(pixels).hexdigest()
            rows.append({LABEL: row[LABEL], self._image.name: pixels, "digest": digest})
        return pa.Table.from_pylist(rows, self.columns)

    def _folder(self) -> Path:
        setting = f"OVERNIGHT_SOURCE_FOLDERS__{self._model.upper().replace('-', '_')}"
        folder = self._places.folder
        if folder is None or not folder.is_dir():
            problem = f"{folder} is no folder" if folder else "it is not set"
            remedy = f"name a folder of arrivals by {setting}"
            raise SourceUnavailable(f"{self._model}'s rows", [f"{setting}: {problem}"], remedy)
        return folder


def _batches(file: str, body: bytes) -> Iterator[pa.RecordBatch]:
    """The rows of a Parquet file of pictures; `file`, their names, may be missing.

    Raises:
        BadFile: it is none, or has no label or picture.
    """
    reader = ParquetReader(
        file,
        pa.BufferReader(body),
        most_rows=_MOST_ROWS,
        most_bytes=_MOST_BYTES,
        value_bytes=_PICTURE_BYTES,
    )
    names = reader.schema.names
    if missing := [name for name in (LABEL, PICTURE) if name not in names]:
        raise BadFile(
            file,
            expected=f"the columns {LABEL} and {PICTURE}",
            found=f"no {' and no '.join(missing)} among {', '.join(names) or 'none'}",
        )
    yield from reader.batches([name for name in (FILE, LABEL, PICTURE) if name in names], rows=500)


def _arrival(stem: str) -> str:
    """The name of an arrival: the folder's or file's own, or a valid name derived from it."""
    try:
        return keys.check(stem)
    except BadKey:
        return keys.segment_for(stem, "")
