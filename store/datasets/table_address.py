"""Where a Delta table is, and how it is reached."""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import pyarrow as pa
from deltalake import DeltaTable

from overnight.store.datasets.column_types import storable
from overnight.store.datasets.storage_options import storage_options
from overnight.store.datasets.table_errors import LostRaceError, NoTableError, translated_errors
from overnight.store.errors import NotFound
from overnight.store.objects.proxies import Proxy
from overnight.store.objects.s3 import S3Address


@dataclass(frozen=True)
class TableAddress:
    """The address of one table. It holds no connection: every opening reads the newest version."""

    uri: str
    options: dict[str, str] | None = None
    proxy: Proxy | None = None

    @classmethod
    def on_s3(cls, address: S3Address, key: str) -> Self:
        """The table below a key of the bucket."""
        return cls(f"s3://{address.bucket}/{key}", storage_options(address), address.proxy)

    @classmethod
    def in_folder(cls, folder: Path, key: str) -> Self:
        """The table below a key, in a local folder."""
        return cls(str(folder / key))

    @property
    def where(self) -> str:
        """The store that errors name."""
        return (self.options or {}).get("AWS_ENDPOINT_URL", self.uri)

    def open(self, version: int | None = None) -> DeltaTable | None:
        """The table at a version, by default the newest; None while there is no table.

        Raises:
            NotFound: there is no such version.
            StoreUnavailable, StoreDenied, CorruptTable
        """
        try:
            with self.translated_errors():
                return DeltaTable(self.uri, version=version, storage_options=self.options)
        except NoTableError:
            return None

    def open_existing(self, version: int | None = None) -> DeltaTable:
        """As `open`, where there has to be a table.

        Raises:
            NotFound: there is none.
        """
        table = self.open(version)
        if table is None:
            raise NotFound(self.uri)
        return table

    def create(
        self,
        schema: pa.Schema,
        configuration: Mapping[str, str],
        *,
        partition_by: str | None = None,
    ) -> DeltaTable:
        """Create the empty table, or open the one that another writer has just created."""
        try:
            with self.translated_errors():
                return DeltaTable.create(
                    self.uri,
                    storable(schema),
                    mode="error",
                    configuration=dict(configuration),
                    storage_options=self.options,
                    partition_by=partition_by,
                )
        except LostRaceError:
            table = self.open()
            if table is None:
                raise
            return table

    def translated_errors(self) -> AbstractContextManager[None]:
        """Errors of the library about this table become those of the store."""
        return translated_errors(self.uri, where=self.where, proxy=self.proxy)
