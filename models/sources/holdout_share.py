"""`HoldoutShare`: a share of the first arrival, chosen by its digests, judges every version."""

from collections.abc import Iterable
from dataclasses import dataclass

import pyarrow as pa

from overnight.store.errors import ConfigurationError

_DIGITS = 8


@dataclass(frozen=True)
class HoldoutShare:
    """About this share of the first arrival's rows, frozen.

    A row is held out by its digest: however often the arrival is delivered, and in whatever order,
    the same rows are, and no row changes sides.
    """

    share: float

    def __post_init__(self) -> None:
        """Check the share.

        Raises:
            ConfigurationError: it is no part of the rows.
        """
        if not 0 < self.share < 1:
            raise ConfigurationError(
                f"HoldoutShare({self.share}): expected a share between 0 and 1, such as 0.1"
            )

    def of(self, batches: Iterable[pa.RecordBatch], columns: pa.Schema) -> pa.Table:
        """The rows that are held out, with their digests; of equal ones the first."""
        below, seen, held = int(self.share * 16**_DIGITS), set[str](), []
        for batch in batches:
            chosen = []
            for place, digest in enumerate(batch.column("digest").to_pylist()):
                if int(digest[:_DIGITS], 16) < below and digest not in seen:
                    seen.add(digest)
                    chosen.append(place)
            held.append(batch.take(pa.array(chosen, pa.int64())))
        return pa.Table.from_batches(held, columns).combine_chunks()
