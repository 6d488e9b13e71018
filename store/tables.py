"""Tables as upkeep sees them: which files a version consists of, and which no version needs."""

from collections.abc import Collection, Iterator

import pyarrow as pa
from deltalake import PostCommitHookProperties

from store.datasets import Dataset

# The log tells what every version was trained on: vacuuming is no occasion to shorten it.
_WHOLE_LOG = PostCommitHookProperties(create_checkpoint=True, cleanup_expired_logs=False)


class Table(Dataset):
    """A `Dataset` with its files."""

    def files(self, version: int | None = None) -> dict[str, int]:
        """The Parquet files of a version by their names below the table, with sizes in bytes.

        Raises:
            NotFound: there is no such version, or no table.
        """
        table = self._there(version)
        with self._worded():
            added = pa.table(table.get_add_actions())
        return dict(
            zip(
                added.column("path").to_pylist(),
                added.column("size_bytes").to_pylist(),
                strict=True,
            )
        )

    def every_row(self) -> Iterator[pa.RecordBatch]:
        """All columns of the newest version, a part at a time.

        Raises:
            NotFound: there is no table, or a file of it is gone.
        """
        table = self._there()
        with self._worded():
            yield from table.to_pyarrow_dataset().to_batches(batch_size=4_096)

    def vacuum(
        self, keep: Collection[int], *, there: Collection[str], hours: float, delete: bool
    ) -> tuple[str, ...]:
        """The files that neither the newest version nor one of `keep` needs, and that are older
        than `hours`; what was just written may belong to a commit that is under way.

        `there` are the names below the table: its log names files for ever, also those that went
        long ago.

        Raises:
            StoreUnavailable, StoreDenied
        """
        found = self._unneeded(keep, hours=hours, delete=False) & {*there}
        if delete and found:
            self._unneeded(keep, hours=hours, delete=True)
        return tuple(sorted(found))

    def _unneeded(self, keep: Collection[int], *, hours: float, delete: bool) -> set[str]:
        table = self._open()
        if table is None:
            return set()
        known = sorted(version for version in keep if 0 <= version <= table.version())
        with self._worded():
            found = table.vacuum(
                retention_hours=round(hours),
                dry_run=not delete,
                enforce_retention_duration=False,
                full=True,
                keep_versions=known,
                post_commithook_properties=_WHOLE_LOG,
            )
        # Told below the table or from the root of the file system, as the library likes.
        return {path.rpartition("/")[2] for path in found}
