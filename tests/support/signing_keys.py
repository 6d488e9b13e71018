"""The one key that signs what tests publish, and whoever trusts it; it is no secret."""

from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from overnight.store.objects.digests import digest
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, Trust


def signer(name: str) -> Signer:
    """Somebody's key, the same in every run."""
    seed = bytes.fromhex(digest(f"a key for tests: {name}".encode()))
    return Signer(Ed25519PrivateKey.from_private_bytes(seed))


def named(signer: Signer, name: str = "tests") -> PublicKey:
    return PublicKey(name, signer.public_key)


SIGNER = signer("tests")
TRUST = Trust([named(SIGNER)])


def write_keys(home: Path, *, signer: Signer = SIGNER) -> None:
    """Have a home sign with this key and trust it, as `overnight up` would with one of its own."""
    folder = home / "keys"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "signing.pem").write_bytes(signer.pem())
    (folder / "trusted").write_text(named(signer).line + "\n")
