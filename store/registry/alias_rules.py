"""Rules of alias logs: which records may be in one, and who may sign them."""

from collections.abc import Mapping

from overnight.store.errors import CorruptRecord
from overnight.store.objects import keys
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.trust.trusted_keys import Right

CHAMPION = "champion"
CHALLENGER = "challenger"
_ACTIONS: Mapping[str, tuple[str, ...]] = {
    CHAMPION: ("promoted", "rolled back"),
    CHALLENGER: ("started", "stopped"),
}


def rights(alias: str) -> frozenset[Right]:
    """Any of these suffices to sign a record of an alias.

    Whether `gates` suffices also depends on the version: see `overnight.store.registry.approval`.
    """
    return frozenset({"aliases", "gates"}) if alias == CHAMPION else frozenset({"aliases"})


def check(record: AliasRecord, key: str) -> None:
    """Check that a record is the one that its key names, and well formed.

    Raises:
        CorruptRecord: it is that of another model, alias or sequence, its action is none of its
            alias, or it names what is no version.
    """
    # A record copied from elsewhere would promote a version that nobody promoted here.
    own = f"models/{record.model}/aliases/{record.alias}/{record.sequence:08d}.json"
    if own != key:
        raise CorruptRecord(key, expected="its own record", found=f"that of {own}")
    for version in filter(None, (record.version, record.previous)):
        if not keys.is_version(version):
            raise CorruptRecord(key, expected="names of versions", found=repr(version))
    allowed = _ACTIONS.get(record.alias, ())
    if allowed and record.action not in allowed:
        expected = f"one of {', '.join(allowed)} as the action of a {record.alias}"
        raise CorruptRecord(key, expected=expected, found=record.action)
