"""Where rows to be scored are, and where their answers go: local paths and s3:// addresses.

The ending of a name says what it is: `.csv` (also `.tsv`, and packed, of an input), `.parquet`, or
without an ending a Delta table.
"""

import hashlib
import os
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Literal
from urllib.parse import urlsplit

import pyarrow as pa
import pyarrow.fs as pafs
from deltalake.exceptions import DeltaError
from deltalake.fs import DeltaStorageHandler

from overnight.store.datasets.storage_options import storage_options
from overnight.store.datasets.table_address import TableAddress
from overnight.store.datasets.table_errors import of_reading
from overnight.store.errors import BadFile
from overnight.store.objects.s3 import S3Address

Kind = Literal["csv", "parquet", "delta"]
_PACKED = frozenset({".gz", ".bz2", ".zst"})
_KINDS: Mapping[str, Kind] = {
    ".csv": "csv",
    ".tsv": "csv",
    ".parquet": "parquet",
    ".pq": "parquet",
    "": "delta",
}
_ENDINGS = "a name that ends in .csv or .parquet, or a Delta table, whose name has no ending"


def parts_folder(output: "RowsPlace", home: Path) -> Path:
    """Where a run keeps its parts until it is complete: beside a local output, else in `home`."""
    if output.is_local:
        return Path(f"{output.path}.parts")
    return home / hashlib.sha256(output.text.encode()).hexdigest()[:16]


@dataclass(frozen=True)
class RowsPlace:
    """A file or a Delta table: `path` is its path from the root of its filesystem."""

    text: str
    kind: Kind
    path: str
    bucket: str = ""
    store: S3Address | None = None

    @classmethod
    def parse(cls, text: str, store: S3Address | None, *, written: bool = False) -> "RowsPlace":
        """The place that a person or a run names; `store` reaches s3:// addresses.

        Raises:
            BadFile: its name has another ending, or it is no address of an object.
        """
        parts = urlsplit(text)
        name = PurePosixPath(parts.path if parts.scheme == "s3" else text)
        suffix = name.suffix.lower()
        if suffix in _PACKED and not written:
            suffix = name.with_suffix("").suffix.lower() or suffix
        # A folder of a local table may have a dot in its name.
        is_table = parts.scheme != "s3" and (Path(text) / "_delta_log").is_dir()
        kind: Kind | None = "delta" if is_table else _KINDS.get(suffix)
        if kind is None or not text.strip():
            raise BadFile(text or "''", expected=_ENDINGS, found=f"{suffix or 'no name'}")
        if parts.scheme == "s3":
            if not parts.netloc or not parts.path.strip("/") or store is None:
                raise BadFile(text, expected="an address such as s3://bucket/folder/rows", found="")
            return cls(text, kind, parts.path.strip("/"), parts.netloc, store)
        if parts.scheme and "://" in text:
            raise BadFile(text, expected="a local path, or s3://bucket/key", found=parts.scheme)
        return cls(text, kind, str(Path(text).resolve()))

    @property
    def is_local(self) -> bool:
        return not self.bucket

    @property
    def options(self) -> dict[str, str] | None:
        return None if self.store is None else storage_options(self.store)

    @property
    def table(self) -> TableAddress:
        """The Delta table that is here."""
        if self.store is None:
            return TableAddress(self.path)
        return TableAddress(f"s3://{self.bucket}/{self.path}", self.options, self.store.proxy)

    def filesystem(self) -> pafs.FileSystem:
        """The filesystem in which `path` is."""
        if self.is_local:
            return pafs.LocalFileSystem()
        return pafs.PyFileSystem(DeltaStorageHandler(f"s3://{self.bucket}", self.options))

    def sibling(self, name: str, kind: Kind) -> "RowsPlace":
        """A file of this name in the same folder."""
        path = str(PurePosixPath(self.path).with_name(name))
        folder, slash, _ = self.text.rstrip("/").rpartition("/")
        return RowsPlace(f"{folder}{slash}{name}", kind, path, self.bucket, self.store)

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name

    def stat(self) -> pafs.FileInfo | None:
        """Size and time of the file; None where there is none.

        Raises:
            StoreUnavailable, StoreDenied
        """
        with self.errors():
            info = self.filesystem().get_file_info(self.path)
        return None if info.type == pafs.FileType.NotFound else info

    def read(self) -> bytes | None:
        """The bytes of a small file; None where there is none."""
        if self.stat() is None:
            return None
        with self.errors(), self.filesystem().open_input_file(self.path) as file:
            return bytes(file.read())

    def remove(self) -> None:
        """Remove the file, if there is one."""
        if self.stat() is not None:
            with self.errors():
                self.filesystem().delete_file(self.path)

    @contextmanager
    def writing(self) -> Iterator[pa.NativeFile]:
        """A file that replaces this one as a whole at the end, and not when it fails.

        Raises:
            OSError: the folder is missing, or may not be written to.
            StoreUnavailable, StoreDenied
        """
        if self.store is not None:
            # An object appears when its upload is complete, whose length has to be known for that.
            with tempfile.NamedTemporaryFile() as copy:
                with pa.OSFile(copy.name, "wb") as file:
                    yield file
                self._upload(self.store, copy.name)
            return
        draft = Path(self.path).with_name(f".part-{self.name}")
        try:
            with pa.OSFile(str(draft), "wb") as file:
                yield file
            with draft.open("rb+") as written:
                os.fsync(written.fileno())
            draft.replace(self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _upload(self, store: S3Address, copy: str) -> None:
        # Late: it takes half a second, and most places are local.
        import boto3
        from boto3.exceptions import Boto3Error
        from botocore.config import Config
        from botocore.exceptions import BotoCoreError, ClientError

        client = boto3.client(
            "s3",
            endpoint_url=store.endpoint,
            region_name=store.region,
            aws_access_key_id=store.access_key,
            aws_secret_access_key=store.secret_key,
            aws_session_token=store.session_token or None,
            verify=str(store.authorities) if store.authorities else None,
            # Stores of one's own have no host name for each bucket.
            config=Config(
                s3={"addressing_style": "path"}, request_checksum_calculation="when_required"
            ),
        )
        try:
            client.upload_file(copy, self.bucket, self.path)
        except (Boto3Error, BotoCoreError, ClientError) as error:
            raise of_reading(error, self.text, where=store.endpoint, proxy=store.proxy) from None

    @contextmanager
    def errors(self) -> Iterator[None]:
        """Errors of a remote store, in the words of ours; local ones are those of the system."""
        try:
            yield
        except (DeltaError, OSError) as error:
            if self.store is None:
                raise
            raise of_reading(
                error, self.text, where=self.store.endpoint, proxy=self.store.proxy
            ) from None
