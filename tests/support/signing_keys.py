"""The key that signs in tests, and trust in it. It is no secret."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from overnight.infra.identities import SIGNING
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_rules import CHAMPION
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import RIGHTS, TRAINING, PublicKey, Right, Trust


def signer(name: str) -> Signer:
    """A signer by name, with the same key in every run."""
    seed = bytes.fromhex(digest(f"a key for tests: {name}".encode()))
    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


def named(signer: Signer, name: str = "tests", *rights: Right) -> PublicKey:
    """The public key, by default with every right."""
    return PublicKey(name, signer.public_key, frozenset(rights or RIGHTS))


SIGNER = signer("tests")
TRUST = Trust([named(SIGNER)])
# Identities with a key each, as in production.
GATES, PEOPLE, SERVING = signer("gates"), signer("people"), signer("serving")
IDENTITIES = Trust(
    [
        PublicKey("training", GATES.public_key, TRAINING),
        named(PEOPLE, "people", "decisions", "aliases"),
        named(SERVING, "serving", "withdrawals"),
    ]
)


def signing_registry(bucket: Bucket) -> Registry:
    """All models of a bucket, as production opens them."""
    return Registry(bucket, TRUST, lambda: SIGNER)


def registry(
    bucket: Bucket, model: str = "digits", *, trust: Trust = TRUST, by: Signer = SIGNER
) -> ModelRegistry:
    """A model's registry as production opens it: it signs what it writes, and verifies."""
    return ModelRegistry(bucket, model, trust, lambda: by)


def alias_log(
    bucket: Bucket,
    model: str = "digits",
    alias: str = CHAMPION,
    *,
    trust: Trust = TRUST,
    by: Signer = SIGNER,
) -> AliasLog:
    """A log whose records are signed, for versions that need not exist."""
    return AliasLog(bucket, model, alias, trust=trust, signer=lambda: by)


def challenges(bucket: Bucket, model: str = "digits") -> Challenges:
    """Challenges that are signed."""
    return Challenges.of(registry(bucket, model))


def write_keys(home: Path, *, signer: Signer = SIGNER) -> None:
    """Write the keys of a home, as `overnight up` does, but one for all identities."""
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    for identity in SIGNING:
        name = "signing" if identity == "training" else identity
        (folder / f"{name}.pem").write_bytes(signer.pem())
    (folder / "trusted").write_text(named(signer).line + "\n")
