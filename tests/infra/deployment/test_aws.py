"""The templates of CloudFormation: valid, no second truth of the policies, nothing open."""

import json
import subprocess
import sys

import pytest
import yaml

from overnight.infra import identities
from overnight.infra.aws import roles
from tests.support.checkers import INFRA, check

FOLDER = INFRA / "aws"
TEMPLATES = (FOLDER / "bucket.yaml", FOLDER / "roles.json")
RESOURCES = json.loads((FOLDER / "roles.json").read_text())["Resources"]
# Reads policies on standard input, one JSON text a line, and prints what parliament finds.
PARLIAMENT = """
import sys
from parliament import analyze_policy_string
for line in sys.stdin:
    for found in analyze_policy_string(line).findings:
        print(found.issue, found.detail)
"""


def plain(document: dict) -> dict:
    """A policy of the template, after CloudFormation put in `the-bucket` and `digits`."""
    text = json.dumps(document).replace(roles.BUCKET, "the-bucket").replace(roles.MODEL, "digits")
    for statement in (read := json.loads(text))["Statement"]:
        statement["Resource"] = [one["Fn::Sub"] for one in statement["Resource"]]
    return read


def findings(*policies: dict) -> str:
    lines = "\n".join(json.dumps(policy) for policy in policies)
    # A process of its own: its import warns of what setuptools will drop.
    command = [sys.executable, "-W", "ignore", "-c", PARLIAMENT]
    done = subprocess.run(command, input=lines, capture_output=True, text=True, check=True)
    return done.stdout


def test_the_template_of_roles_is_what_the_policies_say():
    made = json.dumps(roles.template(), indent=2) + "\n"

    assert (FOLDER / "roles.json").read_text() == made, (
        "`python -m overnight.infra.aws.roles > infra/aws/roles.json` makes it anew"
    )


@pytest.mark.parametrize("name", identities.NAMES)
def test_each_identity_has_its_policy_and_no_other(name):
    prefix = name.title()
    policy = plain(RESOURCES[f"{prefix}Policy"]["Properties"]["PolicyDocument"])
    role = RESOURCES[f"{prefix}Role"]["Properties"]

    assert policy == identities.policy(name, "the-bucket")
    attached = [arn.get("Ref", "by condition") for arn in role["ManagedPolicyArns"]]
    assert attached == [f"{prefix}Policy"] + ["by condition"] * (name == "training")
    assert "Policies" not in role
    assert (
        RESOURCES[f"{prefix}User"]["Properties"]["ManagedPolicyArns"] == role["ManagedPolicyArns"]
    )


def test_what_people_decide_is_denied_to_training_by_a_policy_of_its_own():
    manual = plain(RESOURCES["TrainingManualPolicy"]["Properties"]["PolicyDocument"])

    whole = identities.policy("training", "the-bucket", manual=["digits"])
    assert whole["Statement"] == [
        *identities.policy("training", "the-bucket")["Statement"],
        *manual["Statement"],
    ]


def test_the_bucket_is_versioned_encrypted_private_and_reached_by_tls_alone():
    text = (FOLDER / "bucket.yaml").read_text()
    # Its short forms of functions are tags, whose values do not matter here.
    loader = type("Loader", (yaml.SafeLoader,), {})
    loader.add_multi_constructor("!", lambda load, tag, node: f"{tag} {node.value}")
    resources = yaml.load(text, loader)["Resources"]  # noqa: S506 - a SafeLoader

    bucket = resources["Bucket"]["Properties"]
    assert bucket["VersioningConfiguration"] == {"Status": "Enabled"}
    assert bucket["BucketEncryption"]
    assert all(bucket["PublicAccessBlockConfiguration"].values())
    assert resources["Bucket"]["DeletionPolicy"] == "Retain"
    statements = resources["Access"]["Properties"]["PolicyDocument"]["Statement"]
    denied = {json.dumps(one["Condition"]) for one in statements if one["Effect"] == "Deny"}
    assert '{"Bool": {"aws:SecureTransport": "false"}}' in denied
    assert {one["Effect"] for one in statements} == {"Deny"}


@pytest.mark.servers
def test_cfn_lint_passes_the_templates_and_finds_a_planted_fault(tmp_path):
    planted = tmp_path / "planted.yaml"
    text = TEMPLATES[0].read_text()
    planted.write_text(text.replace("VersioningConfiguration:", "VersionConfiguration:"))

    code, printed = check("cfn-lint", *TEMPLATES)
    assert code == 0, printed
    code, printed = check("cfn-lint", planted)
    assert code != 0
    assert "VersionConfiguration" in printed


@pytest.mark.servers
def test_parliament_passes_the_policies_and_finds_a_planted_fault():
    policies = [identities.policy(name, "the-bucket", manual=["m"]) for name in identities.NAMES]
    planted = json.loads(json.dumps(policies[0]).replace("s3:PutObject", "s3:PutObjekt"))

    assert findings(*policies) == ""
    assert "s3:PutObjekt" in findings(planted)
