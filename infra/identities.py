"""Who may do what in the store: an identity for each kind of work, with credentials of its own.

The policies in `infra/policies/` are written for AWS, with BUCKET in place of the bucket's name;
the embedded store enforces the same documents, less what it cannot evaluate.
"""

import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from overnight.store.errors import ConfigurationError

Name = Literal["landing", "training", "serving", "operator", "administration", "keeping"]
NAMES: tuple[Name, ...] = get_args(Name)
ACCESS_KEY, SECRET_KEY = "OVERNIGHT_S3_ACCESS_KEY", "OVERNIGHT_S3_SECRET_KEY"
_POLICIES = Path(__file__).parent / "policies"


@dataclass(frozen=True)
class Credentials:
    """How an identity proves itself to the store; the secret never shows in a repr."""

    access_key: str
    secret_key: str = field(repr=False)


def path(home: Path, name: str) -> Path:
    """Where the credentials of an identity of this home are, as settings read them."""
    return home / "identities" / f"{name}.env"


def check(name: str) -> Name:
    """The name itself, when it is one of ours.

    Raises:
        ConfigurationError: it is not.
    """
    for known in NAMES:
        if name == known:
            return known
    raise ConfigurationError(
        f"OVERNIGHT_IDENTITY: expected one of {', '.join(NAMES)}, found {name!r}; "
        "correct it and start again"
    )


def made_up() -> Credentials:
    """Credentials that nobody has had before."""
    return Credentials(secrets.token_hex(10), secrets.token_urlsafe(30))


def read(file: Path) -> Credentials | None:
    """The credentials that an env file names, or None where there are none."""
    if not file.exists():
        return None
    lines = (line.partition("=") for line in file.read_text().splitlines())
    found = {name.strip(): value.strip() for name, _, value in lines}
    access_key, secret_key = found.get(ACCESS_KEY), found.get(SECRET_KEY)
    return Credentials(access_key, secret_key) if access_key and secret_key else None


def policy(name: Name, bucket: str, *, manual: Sequence[str] = ()) -> dict[str, Any]:
    """What an identity may do in a bucket, as AWS reads it.

    `manual`: the models of which training decides nothing, because a person does.
    """
    document = _document(name, bucket)
    if name == "training":
        for model in manual:
            document["Statement"] += _document("training-manual", bucket, model)["Statement"]
    return document


def for_seaweedfs(
    bucket: str, credentials: Mapping[Name, Credentials], *, manual: Sequence[str] = ()
) -> str:
    """The identities of a SeaweedFS server, as its option `-s3.config` reads them."""
    policies = {name: _enforceable(policy(name, bucket, manual=manual)) for name in credentials}
    identities = [
        {
            "name": name,
            "credentials": [{"accessKey": one.access_key, "secretKey": one.secret_key}],
            "policyNames": [name],
        }
        for name, one in credentials.items()
    ]
    documents = [{"name": name, "content": json.dumps(one)} for name, one in policies.items()]
    return json.dumps({"identities": identities, "policies": documents}, indent=2) + "\n"


def _document(stem: str, bucket: str, model: str = "") -> dict[str, Any]:
    text = (_POLICIES / f"{stem}.json").read_text()
    document: dict[str, Any] = json.loads(text.replace("BUCKET", bucket).replace("MODEL", model))
    return document


def _enforceable(document: dict[str, Any]) -> dict[str, Any]:
    """Without the condition that writes are create-only: SeaweedFS 4.48 would refuse them all."""
    kept = [
        {name: value for name, value in statement.items() if name != "Condition"}
        for statement in document["Statement"]
    ]
    return document | {"Statement": kept}
