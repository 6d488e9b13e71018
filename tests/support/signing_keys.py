"""The key that signs versions in tests, and trust in it. It is no secret."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from overnight.store.objects.digests import digest
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, Trust


def signer(name: str) -> Signer:
    """A signer by name, with the same key in every run."""
    seed = bytes.fromhex(digest(f"a key for tests: {name}".encode()))
    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


def named(signer: Signer, name: str = "tests") -> PublicKey:
    return PublicKey(name, signer.public_key)


SIGNER = signer("tests")
TRUST = Trust([named(SIGNER)])


def write_keys(home: Path, *, signer: Signer = SIGNER) -> None:
    """Write the signing key and the trusted keys of a home, as `overnight up` does."""
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "signing.pem").write_bytes(signer.pem())
    (folder / "trusted").write_text(named(signer).line + "\n")
