"""The CloudFormation template of the identities, made of the policies in `infra/policies`.

`python -m overnight.infra.aws.roles` prints it; `infra/aws/roles.json` is what it printed.
"""

import json
from typing import Any

from overnight.infra import identities

# Replaced in the documents of the policies; CloudFormation puts the parameters in.
BUCKET, MODEL = "${Bucket}", "${ManualModel}"
_USERS, _MANUAL = "WithUsers", "WithManualModel"


def main() -> None:
    """Print the template."""
    print(json.dumps(template(), indent=2))


def template() -> dict[str, Any]:
    """For each identity its policy, a role, and a user where the stack is asked for users."""
    resources: dict[str, Any] = {}
    for name in identities.NAMES:
        resources |= _identity(name)
    # Attached beside `training.json`, so that training neither decides nor promotes this model.
    manual = _policy("training-manual")
    resources["TrainingManualPolicy"] = manual | {"Condition": _MANUAL}
    attached = resources["TrainingRole"]["Properties"]["ManagedPolicyArns"]
    attached.append({"Fn::If": [_MANUAL, {"Ref": "TrainingManualPolicy"}, _NOTHING]})
    resources["TrainingUser"]["Properties"]["ManagedPolicyArns"] = attached
    return {
        "AWSTemplateFormatVersion": "2010-09-09",
        "Description": "Identities of overnight in its bucket: made by overnight.infra.aws.roles",
        "Parameters": _PARAMETERS,
        "Conditions": {
            _USERS: {"Fn::Equals": [{"Ref": "Users"}, "yes"]},
            _MANUAL: {"Fn::Not": [{"Fn::Equals": [{"Ref": "ManualModel"}, ""]}]},
        },
        "Resources": resources,
        "Outputs": {
            f"{name.title()}Role": {"Value": {"Fn::GetAtt": [f"{name.title()}Role", "Arn"]}}
            for name in identities.NAMES
        },
    }


_NOTHING = {"Ref": "AWS::NoValue"}
_PARAMETERS = {
    "Bucket": {
        "Type": "String",
        "Description": "The name of the bucket, an output of bucket.yaml",
        "AllowedPattern": "^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$",
    },
    "TrustedPrincipal": {
        "Type": "String",
        "Description": "The ARN of the role or user that may assume the roles",
        "AllowedPattern": "^arn:aws[a-z-]*:iam::[0-9]{12}:.+$",
    },
    "Users": {
        "Type": "String",
        "Description": "Whether each identity has a user, for processes that nobody renews keys of",
        "AllowedValues": ["yes", "no"],
        "Default": "no",
    },
    "ManualModel": {
        "Type": "String",
        "Description": "A model that people promote, * for all, or nothing",
        "Default": "",
    },
}


def _identity(name: identities.Name) -> dict[str, Any]:
    prefix = name.title()
    attached = [{"Ref": f"{prefix}Policy"}]
    trusted = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": {"Ref": "TrustedPrincipal"}},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    role = {"AssumeRolePolicyDocument": trusted, "ManagedPolicyArns": attached}
    user = {"ManagedPolicyArns": attached}
    return {
        f"{prefix}Policy": _policy(name),
        f"{prefix}Role": {"Type": "AWS::IAM::Role", "Properties": role},
        f"{prefix}User": {"Type": "AWS::IAM::User", "Condition": _USERS, "Properties": user},
    }


def _policy(stem: str) -> dict[str, Any]:
    return {
        "Type": "AWS::IAM::ManagedPolicy",
        "Properties": {
            "Description": f"infra/policies/{stem}.json",
            "PolicyDocument": _substituted(identities.document(stem, BUCKET, MODEL)),
        },
    }


def _substituted(document: dict[str, Any]) -> dict[str, Any]:
    """The document with every resource as CloudFormation's `Fn::Sub`."""
    statements = [
        statement | {"Resource": [{"Fn::Sub": arn} for arn in statement["Resource"]]}
        for statement in document["Statement"]
    ]
    return document | {"Statement": statements}


if __name__ == "__main__":
    main()
