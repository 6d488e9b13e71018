"""The ready policies, read as they are: no right that nobody asked for."""

import json
from pathlib import Path

import pytest

from overnight.infra import identities
from overnight.infra.identities import Credentials

POLICIES = Path(identities.__file__).parent / "policies"
ONCE = {"Null": {"s3:if-none-match": "false"}}
KNOWN = {"s3:GetObject", "s3:ListBucket", "s3:PutObject", "s3:DeleteObject", "s3:CreateBucket"}
# Delta Lake creates its log's entries once by itself, and names its files so that none is twice.
TABLES = ("datasets/*/rows/", "datasets/*/holdout/")


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


@pytest.mark.parametrize("name", identities.NAMES)
def test_only_keeping_deletes_more_than_was_taken_in(name):
    deletable = {
        one
        for statement in statements(name)
        if statement["Effect"] == "Allow" and "s3:DeleteObject" in statement["Action"]
        for one in below(statement)
    }

    if name == "keeping":
        assert "models/*/versions/*" in deletable
    else:
        assert deletable <= {"landing/*", "probe/*"}


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
