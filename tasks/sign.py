"""Sign a version that exists: one of an earlier release, or with the key that replaces another."""

from store import versions
from store.bucket import Bucket
from store.errors import UntrustedVersion
from store.signing import Signer
from store.trust import PublicKey, Trust


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
