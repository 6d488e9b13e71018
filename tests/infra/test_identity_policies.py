"""The ready policies, read as they are: no right that nobody asked for."""

import json
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from overnight.infra import identities
from overnight.infra.identities import Credentials
from overnight.store.objects import keys

POLICIES = Path(identities.__file__).parent / "policies"
ONCE = {"Null": {"s3:if-none-match": "false"}}
KNOWN = {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject", "s3:CreateBucket"}
# Delta Lake creates its log's entries once by itself, and names its files so that none is twice.
TABLES = ("datasets/*/rows/", "datasets/*/holdout/", "predictions/", "labels/")


def statements(name: identities.Name) -> list[dict]:
    found: list[dict] = identities.policy(name, "the-bucket", manual=("digits",))["Statement"]
    return found


def below(statement: dict) -> list[str]:
    return [one.removeprefix("arn:aws:s3:::the-bucket").strip("/") for one in statement["Resource"]]


@pytest.mark.parametrize("name", identities.NAMES)
def test_no_action_is_a_pattern_and_every_resource_is_in_the_bucket(name):
    for statement in statements(name):
        assert set(statement["Action"]) <= KNOWN | {"s3:AbortMultipartUpload"}
        for resource in statement["Resource"]:
            assert resource.split("/")[0] == "arn:aws:s3:::the-bucket"


@pytest.mark.parametrize("name", identities.NAMES)
def test_at_aws_nothing_but_tables_is_written_twice(name):
    for statement in statements(name):
        if statement["Effect"] == "Allow" and "s3:PutObject" in statement["Action"]:
            tables = all(one.startswith(TABLES) for one in below(statement))
            assert (statement.get("Condition") == ONCE) != tables, statement["Sid"]


# Every kind of object that is created once, and who may create it; `digits` is decided by people,
# `sales` by its gates.
_VERSION, _SHA256 = "20261122T020000-0123456789ab", "0" * 64
_DECIDING = {"training", "administration"}
CREATED_ONCE = {
    keys.version_file("digits", _VERSION, "network.keras"): _DECIDING,
    keys.signature("digits", _VERSION, "0" * 16): _DECIDING,
    keys.manifest("digits", _VERSION): _DECIDING,
    keys.decision("digits", _VERSION): {"administration", "operator"},
    keys.decision("sales", _VERSION): {*_DECIDING, "operator"},
    keys.decision_signature("sales", _VERSION, "0" * 16): {*_DECIDING, "operator"},
    keys.tombstone("digits", _VERSION): {"administration", "keeping"},
    keys.tombstone_revoked("digits", _VERSION): {*_DECIDING, "keeping"},
    keys.refusal("digits", _SHA256, None): _DECIDING,
    keys.alias_record("digits", "champion", 7): {"operator", "administration"},
    keys.alias_record("sales", "champion", 7): {*_DECIDING, "operator"},
    keys.alias_record("sales", "challenger", 7): {"operator", "administration"},
    keys.replica("digits", "champion", 7, "host"): {"serving", "administration"},
    keys.withdrawal("digits", "challenger", 7): {"serving", "administration"},
    keys.tuned_record("digits", 7): _DECIDING,
    keys.score("digits", _VERSION, "a-1"): _DECIDING,
    keys.pending_review("digits", "a-1"): _DECIDING,
    keys.arrival_review("digits", "a-1", 7): {"administration", "operator"},
    f"{keys.arrival('digits', '2026-11-22', 'a-1')}/rows.csv": {*_DECIDING, "landing"},
    f"{keys.quarantine('digits')}/a-1/reason.json": {*_DECIDING, "landing"},
    keys.spool_segment("digits", "host", f"{'0f' * 16}-00000001.log"): {"serving"},
    "probe/one": _DECIDING,
}


def may_put(name: identities.Name, key: str, *, once: bool) -> bool:
    """What AWS answers to a PUT, with or without `If-None-Match`."""
    effects = [
        statement["Effect"]
        for statement in statements(name)
        if "s3:PutObject" in statement["Action"]
        and (once or statement.get("Condition") != ONCE)
        and any(fnmatchcase(key, pattern) for pattern in below(statement))
    ]
    return "Allow" in effects and "Deny" not in effects


@pytest.mark.parametrize("key", CREATED_ONCE)
def test_every_object_of_ours_is_created_by_whom_it_belongs_to_and_overwritten_by_nobody(key):
    creators = {name for name in identities.NAMES if may_put(name, key, once=True)}
    overwriters = {name for name in identities.NAMES if may_put(name, key, once=False)}

    assert creators == CREATED_ONCE[key]
    assert overwriters == set()


@pytest.mark.parametrize("name", identities.NAMES)
def test_only_keeping_deletes_more_than_what_passes_through_and_what_is_private(name):
    deletable = {
        one
        for statement in statements(name)
        if statement["Effect"] == "Allow" and "s3:DeleteObject" in statement["Action"]
        for one in below(statement)
    }

    if name == "keeping":
        assert "models/*/versions/*" in deletable
    else:
        assert deletable <= {"landing/*", "probe/*", "spool/*", "predictions/*", "labels/*"}


def test_reading_reads_tables_and_versions_and_has_no_other_right():
    actions = {
        action: below(statement)
        for statement in statements("reading")
        for action in statement["Action"]
    }

    assert actions == {
        "s3:GetObject": ["predictions/*", "labels/*", "datasets/*", "models/*"],
        "s3:ListBucket": [""],
    }


def test_the_example_for_a_seaweedfs_of_ones_own_is_what_the_policies_say():
    known = {
        name: Credentials(f"ACCESS-KEY-OF-{name}", f"SECRET-KEY-OF-{name}")
        for name in identities.NAMES
    }

    example = (POLICIES / "seaweedfs.json").read_text()

    assert example == identities.for_seaweedfs("BUCKET", known, manual=("MODEL",))
    reported = json.loads(example)["policies"]
    assert "training-manual" not in [one["name"] for one in reported]
    assert "models/MODEL/aliases/*" in json.dumps(reported)
