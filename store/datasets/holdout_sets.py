"""Frozen holdouts of a model: sets of rows in one table, of which the newest judge.

The first set comes with the source. Each later one is a commit with its own record, a `Renewal`,
which says who renewed the holdout, why, and until when the set before continues to judge. No set is
ever removed, and no row of any set is learned.
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

import pyarrow as pa
import pyarrow.compute as pc
from pydantic import Field, ValidationError

from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import CorruptRecord
from overnight.store.objects import keys
from overnight.store.trust.record_signatures import SignedRecord
from overnight.store.trust.trusted_keys import Right, Trust

FIRST = "holdout"
# In the metadata of the commit that adds a set.
RENEWAL = "renewal"
# The column by which the rows of later sets are distinguished; rows of the first have none.
SET = "arrival"
RENEWERS: frozenset[Right] = frozenset({"decisions", "aliases"})


class Renewal(SignedRecord):
    """A new set of `rows`; the set before judges as well until `both_until`.

    `digest` is the sha256 over the sorted digests of the rows, so that a signature covers them.
    """

    format: int = 1
    model: str
    name: str
    rows: int
    digest: str
    by: str
    reason: str
    both_until: datetime
    authenticated: bool = False
    at: datetime = Field(default_factory=lambda: datetime.now(UTC))

    @property
    def key(self) -> str:
        """What a signature of it is for."""
        return f"{keys.dataset(self.model, FIRST)}/{self.name}"


@dataclass(frozen=True)
class HoldoutSet:
    """One set, and the version of the table that added it; the first has no `renewal`."""

    name: str
    version: int
    renewal: Renewal | None = None
    # As it is stored, for its signature.
    body: bytes = b""


def holdout_sets(holdout: Dataset) -> tuple[HoldoutSet, ...]:
    """Every set of a table, oldest first; none before the first ingest.

    Raises:
        CorruptRecord: the record of a renewal cannot be read.
    """
    first: list[int] = []
    renewed: list[HoldoutSet] = []
    for name, commit in holdout.arrival_commits().items():
        at = int(commit["version"])
        if text := commit.get(RENEWAL):
            renewed.append(HoldoutSet(name, at, _renewal(holdout, text), text.encode()))
        else:
            first.append(at)
    sets = [HoldoutSet(FIRST, max(first))] if first else []
    return (*sets, *sorted(renewed, key=lambda each: each.version))


def _renewal(holdout: Dataset, text: str) -> Renewal:
    try:
        return Renewal.model_validate_json(text)
    except ValidationError as error:
        raise CorruptRecord(
            holdout.uri, expected="a valid renewal of the holdout", found=str(error)[:200]
        ) from None


def digest_of(rows: pa.Table) -> str:
    """The digest of a set, as its renewal has it."""
    digests = sorted(rows.column("digest").to_pylist())
    return hashlib.sha256("\n".join(digests).encode()).hexdigest()


def verify(sets: Sequence[HoldoutSet], trust: Trust) -> None:
    """Check that a trusted key that may sign decisions signed each renewal.

    Raises:
        UntrustedRecord: none did; says what to do.
        ConfigurationError: no key is trusted here.
    """
    for each in sets:
        if each.renewal is not None:
            trust.record_signer(each.renewal.key, each.body, each.renewal.signed, RENEWERS)


def judging(sets: Sequence[HoldoutSet], now: datetime) -> tuple[HoldoutSet, ...]:
    """The sets that judge at a time: the newest, and each earlier one until its time is over."""
    current = list(sets[-1:])
    for earlier, later in zip(sets[-2::-1], sets[:0:-1], strict=True):
        if later.renewal is None or later.renewal.both_until <= now:
            break
        current.append(earlier)
    return tuple(current)


def read_set(holdout: Dataset, each: HoldoutSet) -> pa.Table:
    """The rows of a set in the columns that it came with, in no particular order."""
    rows = holdout.read(each.version)
    if each.renewal is None:
        return rows
    return rows.filter(pc.equal(rows.column(SET), each.name)).drop_columns([SET])
