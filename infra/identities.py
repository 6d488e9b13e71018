"""Identities of the store: credentials and least-privilege policies, one for each kind of work.

The policies in `infra/policies/` are written for AWS, with BUCKET in place of the bucket's name;
the embedded store enforces the same documents, less what it cannot evaluate.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, cast, get_args

from overnight.store.errors import ConfigurationError

Name = Literal["landing", "training", "serving", "operator", "administration", "keeping", "reading"]
NAMES: tuple[Name, ...] = get_args(Name)
# Identities that sign what they write, each with a key of its own.
Signing = Literal["training", "administration", "operator", "serving"]
SIGNING: tuple[Signing, ...] = get_args(Signing)
ACCESS_KEY, SECRET_KEY = "OVERNIGHT_S3_ACCESS_KEY", "OVERNIGHT_S3_SECRET_KEY"
_POLICIES = Path(__file__).parent / "policies"


@dataclass(frozen=True)
class Credentials:
    """The access keys of an identity; the secret never shows in a repr."""

    access_key: str
    secret_key: str = field(repr=False)


def path(home: Path, name: str) -> Path:
    """The env file with an identity's credentials, as settings read it."""
    return home / "identities" / f"{name}.env"


def check(name: str) -> Name:
    """The name as an identity.

    Raises:
        ConfigurationError: no identity has this name.
    """
    for identity in NAMES:
        if name == identity:
            return identity
    raise ConfigurationError(
        f"OVERNIGHT_IDENTITY: expected one of {', '.join(NAMES)}, found {name!r}; "
        "correct it and start again"
    )


def signing(name: Name) -> Signing:
    """The identity with whose key this one signs; some sign nothing of their own."""
    signs_nothing = name in {"landing", "keeping", "reading"}
    return "administration" if signs_nothing else cast(Signing, name)


def generate() -> Credentials:
    """New random credentials."""
    return Credentials(secrets.token_hex(10), secrets.token_urlsafe(30))


def read(file: Path) -> Credentials | None:
    """The credentials in an env file, or None where it has none."""
    if not file.exists():
        return None
    lines = (line.partition("=") for line in file.read_text().splitlines())
    settings = {name.strip(): value.strip() for name, _, value in lines}
    access_key, secret_key = settings.get(ACCESS_KEY), settings.get(SECRET_KEY)
    return Credentials(access_key, secret_key) if access_key and secret_key else None


def policy(name: Name, bucket: str, *, manual: Sequence[str] = ()) -> dict[str, Any]:
    """The policy document of an identity for a bucket, as AWS reads it.

    `manual`: the models that a person promotes, so training may write no alias record of them.
    """
    whole = document(name, bucket)
    if name == "training":
        for model in manual:
            whole["Statement"] += document("training-manual", bucket, model)["Statement"]
    return whole


def for_seaweedfs(
    bucket: str, credentials: Mapping[Name, Credentials], *, manual: Sequence[str] = ()
) -> str:
    """The identities of a SeaweedFS server, in the format of its option `-s3.config`."""
    policies = {name: _enforceable(policy(name, bucket, manual=manual)) for name in credentials}
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": pair.access_key, "secretKey": pair.secret_key}],
            "policyNames": [name],
        }
        for name, pair in credentials.items()
    ]
    documents = [{"name": name, "content": json.dumps(text)} for name, text in policies.items()]
    return json.dumps({"identities": identities, "policies": documents}, indent=2) + "\n"


def document(stem: str, bucket: str, model: str = "") -> dict[str, Any]:
    """A file of `infra/policies`, by its name without the ending, for a bucket and a model."""
    text = (_POLICIES / f"{stem}.json").read_text()
    read: dict[str, Any] = json.loads(text.replace("BUCKET", bucket).replace("MODEL", model))
    return read


def _enforceable(document: dict[str, Any]) -> dict[str, Any]:
    """Drop the create-only conditions, with which SeaweedFS 4.48 would refuse all writes."""
    kept = [
        {name: value for name, value in statement.items() if name != "Condition"}
        for statement in document["Statement"]
    ]
    return document | {"Statement": kept}
