"""Sign a version that exists: one of an earlier release, or with the key that replaces another."""

from collections.abc import Sequence

from store import versions
from store.bucket import Bucket
from store.digests import digest
from store.errors import UntrustedVersion
from store.signing import Signer
from store.trust import PublicKey, Trust


def is_known(
    bucket: Bucket, model: str, version: str, signer: Signer, known: Sequence[PublicKey]
) -> bool:
    """Whether one of the known keys, or the signer's, signed this version's manifest as it is.

    A decision or an alias record shows nothing: whoever can write a version may write those, too.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version.
    """
    own = PublicKey("signer", signer.public_key)
    try:
        versions.trusted(bucket, model, version, Trust([*known, own]))
    except UntrustedVersion:
        return False
    return True


def stranger(bucket: Bucket, model: str, version: str) -> str:
    """What a person has to know to say whether a version that nobody trusted signed is theirs."""
    body = versions.read_body(bucket, model, version)
    run = versions.decode_for(model, version, body).run
    signed = ", ".join(versions.signers(bucket, model, version)) or "nobody"
    return (
        f"{model} {version}, of the run {run.name or 'of no name'} {run.url or run.id}".rstrip()
        + f", its manifest's sha256 {digest(body)}, signed by {signed}: no key that is "
        f"trusted here vouches for it; if it is yours, `overnight keys sign {model} {version}`, or "
        "--yes for all that are listed so"
    )


def sign(bucket: Bucket, model: str, version: str, signer: Signer) -> bool:
    """Sign what a manifest lists, once every file was found to be as listed, and nothing more.

    Returns whether it had to be signed: False when this key has signed it already.

    Raises:
        UnknownVersion: there is no such version.
        CorruptVersion: a file is missing, changed or added; nothing is signed then.
    """
    body = versions.read_body(bucket, model, version)
    manifest = versions.decode_for(model, version, body)
    for name in manifest.files:
        versions.read_file(bucket, manifest, name)
    versions.check_nothing_added(bucket, manifest)
    trust = Trust([PublicKey("signer", signer.public_key)])
    try:
        versions.trusted(bucket, model, version, trust)
    except UntrustedVersion:
        versions.sign(bucket, model, version, body, signer)
        return True
    return False
