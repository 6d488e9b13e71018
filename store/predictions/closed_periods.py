"""Until when the periods of a table are closed, as a property of the table itself.

Readers take rows in periods of the column `collected`. A row is stamped before its commit, and
collectors may work at the same time; so without more, a slow one could add a row to a period that
was read already, and nobody would ever read it. A period is closed by a commit that changes this
property. Delta lets no commit pass that began before such a change, so a slow writer begins again,
and every stamp is later than the end of each period that was closed before its commit.
"""

from datetime import UTC, datetime, timedelta

from deltalake import DeltaTable

_PROPERTY = "overnight.closedUntil"
_MOMENT = timedelta(microseconds=1)


def closed_until(table: DeltaTable) -> datetime | None:
    """The end of the last closed period in this version of the table; None before the first."""
    text = table.metadata().configuration.get(_PROPERTY)
    return datetime.fromisoformat(text) if text else None


def close(table: DeltaTable, until: datetime) -> None:
    """Close all periods up to and with `until`, in a commit; none if they are closed already."""
    closed = closed_until(table)
    if closed is None or closed < until:
        end = until.astimezone(UTC).isoformat(timespec="microseconds")
        table.alter.set_table_properties({_PROPERTY: end}, raise_if_not_exists=False)


def stamp(table: DeltaTable, at: datetime) -> datetime:
    """When rows that are added on top of this version count as collected: `at`, if still open.

    The clock of a collector may be behind that of the one who closed the period.
    """
    closed = closed_until(table)
    return at if closed is None else max(at, closed + _MOMENT)
