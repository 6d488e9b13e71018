"""Renews a frozen holdout: a new set of rows that the champion never learned.

The world moves on, and rows that were frozen years ago judge for a world that is gone. The new set
judges together with the one before for a declared time, so that no version passes because the rows
became easier; then the older one stays in the table, for audits of what it judged.
"""

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime, timedelta

import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.definition import ModelDefinition
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.holdout_sets import (
    RENEWAL,
    SET,
    HoldoutSet,
    Renewal,
    digest_of,
    holdout_sets,
)
from overnight.store.errors import ConfigurationError
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import DataLineage
from overnight.store.trust.signing import Signer
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.holdout import check_holdout
from overnight.tasks.data.stamps import ARRIVAL_COLUMNS
from overnight.tasks.errors import HoldoutNotRenewed


@dataclass(frozen=True)
class HoldoutRenewal:
    """What a renewal needs to know of a model: its tables, its champion's rows, and who asks.

    `learned` is the data of the champion, None without one; `excluded` are the arrivals that are
    left out of every snapshot.
    """

    definition: ModelDefinition
    rows: Dataset
    holdout: Dataset
    learned: DataLineage | None
    excluded: Collection[str]
    actor: Actor
    both_for_days: int
    now: datetime

    def from_arrivals(self, count: int, signer: Signer) -> Renewal:
        """Renew with so many rows that arrived after the champion was trained, chosen by digest.

        Raises:
            HoldoutNotRenewed: there are fewer, or they cannot judge.
        """
        sets = self._sets()
        fresh = self._without_held_out(self._unlearned())
        if fresh.num_rows < count:
            raise HoldoutNotRenewed(
                self.definition.name,
                f"only {fresh.num_rows:,} rows arrived that its champion has not learned, and "
                f"{count:,} are asked for; `overnight ingest {self.definition.name}` adds some and "
                "trains nothing, or name a file of rows with --from",
            )
        name = _next_name(sets)
        return self._keep(name, _chosen(fresh, count, name), signer)

    def from_rows(self, delivered: pa.Table, file: str, signer: Signer) -> Renewal:
        """Renew with the rows of a file, in the columns of the source.

        Raises:
            HoldoutNotRenewed: the champion learned some of them, or they cannot judge.
        """
        sets = self._sets()
        new = self._without_held_out(_first_of_each(delivered))
        learned = pa.array(sorted(self._learned_digests()), pa.string())
        is_learned = pc.is_in(new.column("digest"), learned)
        if count := pc.sum(is_learned).as_py() or 0:
            raise HoldoutNotRenewed(
                self.definition.name,
                f"its champion has learned {count:,} of the {new.num_rows:,} rows of {file}, and "
                "would be judged too well on them; leave them out",
            )
        return self._keep(_next_name(sets), new, signer, file=file)

    def _sets(self) -> tuple[HoldoutSet, ...]:
        name = self.definition.name
        if self.definition.moving_holdout is not None:
            days = self.definition.moving_holdout.days
            raise HoldoutNotRenewed(
                name, f"the newest {days} days of each snapshot judge it, so there is no need"
            )
        sets = holdout_sets(self.holdout)
        if not sets:
            raise HoldoutNotRenewed(
                name, f"it has none yet; `overnight ingest {name}` freezes that of its source"
            )
        return sets

    def _keep(self, name: str, rows: pa.Table, signer: Signer, file: str = "") -> Renewal:
        findings = check_holdout(rows, self.definition, file=file or name)
        if failures := "; ".join(each.message for each in findings if not each.passed):
            raise HoldoutNotRenewed(self.definition.name, failures)
        renewal = Renewal(
            model=self.definition.name,
            name=name,
            rows=rows.num_rows,
            digest=digest_of(rows),
            by=self.actor.name,
            reason=self.actor.reason,
            authenticated=self.actor.authenticated,
            at=self.now,
            both_until=self.now + timedelta(days=self.both_for_days),
        )
        renewal = renewal.signed_by(signer, renewal.key)
        own = rows.append_column(SET, pa.repeat(pa.scalar(name, pa.string()), rows.num_rows))
        # One commit: the set and its record are there together, or neither is.
        self.holdout.append(own, name, {RENEWAL: renewal.encoded().decode()})
        return renewal

    def _without_held_out(self, rows: pa.Table) -> pa.Table:
        """The rows that are in no set yet."""
        held_out = pa.array(sorted(self.holdout.digests()), pa.string())
        return rows.filter(pc.invert(pc.is_in(rows.column("digest"), held_out)))

    def _unlearned(self) -> pa.Table:
        """The rows of arrivals that the champion has not learned, each once."""
        if self.rows.version() is None:
            raise HoldoutNotRenewed(self.definition.name, "no rows ever arrived")
        rows = self.rows.read()
        unread = DeclaredColumns.of(self.definition).unread(self.rows)
        arrivals = set(self.rows.arrival_names()) - set(self.excluded) - self._learned_arrivals()
        chosen = pc.is_in(rows.column("arrival"), pa.array(sorted(arrivals), pa.string()))
        fresh = rows.filter(chosen).drop_columns([*ARRIVAL_COLUMNS, *sorted(unread)])
        learned = pa.array(sorted(self._learned_digests()), pa.string())
        return _first_of_each(fresh.filter(pc.invert(pc.is_in(fresh.column("digest"), learned))))

    def _learned_arrivals(self) -> set[str]:
        if self.learned is None:
            return set()
        return self.rows.arrival_names(self.learned.dataset_version) - set(self.learned.without)

    def _learned_digests(self) -> set[str]:
        if self.learned is None:
            return set()
        rows = self.rows.read(self.learned.dataset_version, ["digest", "arrival"])
        arrivals = pa.array(sorted(self._learned_arrivals()), pa.string())
        learned = rows.filter(pc.is_in(rows.column("arrival"), arrivals))
        return set(learned.column("digest").to_pylist())


def _next_name(sets: Collection[HoldoutSet]) -> str:
    return f"holdout-{len(sets) + 1}"


def _chosen(rows: pa.Table, count: int, name: str) -> pa.Table:
    """So many of the rows, in an order that has nothing to do with their values."""
    digests = rows.column("digest").to_pylist()
    keys = [hashlib.sha256(f"{name} {digest}".encode()).digest() for digest in digests]
    return rows.take(sorted(sorted(range(len(keys)), key=keys.__getitem__)[:count]))


def _first_of_each(rows: pa.Table) -> pa.Table:
    first = dict(reversed([*enumerate(rows.column("digest").to_pylist())]))
    places = {digest: place for place, digest in first.items()}
    return rows.take(sorted(places.values()))


def check_days(days: int) -> None:
    """Check for how long both sets are to judge.

    Raises:
        ConfigurationError: not for at least one day.
    """
    if days < 1:
        raise ConfigurationError(
            f"--both-for: expected at least 1 day, found {days}; while both judge, a version "
            "must be good on the rows that it was always judged on, too"
        )
