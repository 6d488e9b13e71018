"""Which records may be in the log of an alias, and who may sign them; every message whole."""

import pytest

from overnight.store.errors import CorruptRecord
from overnight.store.registry import alias_rules
from overnight.store.registry.alias_record import AliasRecord
from tests.support.examples import AT, VERSION

KEY = "models/digits/aliases/champion/00000002.json"
RECORD = AliasRecord(
    model="digits",
    alias="champion",
    sequence=2,
    version=VERSION,
    previous=None,
    action="promoted",
    by="ann",
    reason="better",
    at=AT,
)
REMEDY = (
    "nothing that depends on it is used. Find out who wrote it, remove it with the store's own "
    "tools, and restore the record with `overnight verify --repair --from` an export"
)


@pytest.mark.parametrize(
    ("says", "why"),
    [
        (
            {"model": "sales", "sequence": 3},
            "its own record, found that of models/sales/aliases/champion/00000003.json",
        ),
        ({"version": "latest"}, "names of versions, found 'latest'"),
        ({"previous": "../up"}, "names of versions, found '../up'"),
        (
            {"action": "stopped"},
            "one of promoted, rolled back as the action of a champion, found stopped",
        ),
    ],
    ids=str,
)
def test_a_record_that_may_not_be_there_is_told_by_its_key(
    says: dict[str, object], why: str
) -> None:
    alias_rules.check(RECORD, KEY)

    with pytest.raises(CorruptRecord) as raised:
        alias_rules.check(RECORD.model_copy(update=says), KEY)

    assert str(raised.value) == f"{KEY}: expected {why}; {REMEDY}"


def test_the_key_of_gates_moves_champions_alone() -> None:
    assert alias_rules.rights("champion") == {"aliases", "gates"}
    assert alias_rules.rights("challenger") == {"aliases"}
