"""Sign a published version: one of an earlier release, or after the signing key was replaced."""

from collections.abc import Sequence
from dataclasses import replace

from overnight.store.errors import UntrustedVersion
from overnight.store.objects.digests import digest
from overnight.store.registry import versions
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, Trust


def is_known(
    registry: ModelRegistry, version: str, signer: Signer, known: Sequence[PublicKey]
) -> bool:
    """Whether a key of `known`, or the signer's, signed this version's manifest as it is.

    Decisions and alias records prove nothing: write access to the bucket suffices to forge them.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version, or it cannot be read.
    """
    own = PublicKey("signer", signer.public_key)
    try:
        replace(registry, trust=Trust([*known, own])).trusted(version)
    except UntrustedVersion:
        return False
    return True


def describe_untrusted(registry: ModelRegistry, version: str) -> str:
    """What a person needs to decide whether a version without a trusted signature is genuine."""
    model, body = registry.model, registry.manifest_bytes(version)
    run = versions.decode_for(model, version, body).run
    signed = ", ".join(registry.signers(version)) or "nobody"
    return (
        f"{model} {version}, of the run {run.name or 'without a name'} {run.url or run.id}".rstrip()
        + f", sha256 of its manifest {digest(body)}, signed by {signed}: no key that is trusted "
        f"here signed it; if it is yours, `overnight keys sign {model} {version}`, or --yes for "
        "all versions listed this way"
    )


def sign(registry: ModelRegistry, version: str, signer: Signer) -> bool:
    """Sign a version after verifying that its files are exactly those its manifest lists.

    Returns whether it had to be signed: False if this key has signed it already.

    Raises:
        UnknownVersion: there is no such version.
        CorruptVersion: a file is missing, changed or added; nothing is signed.
    """
    body = registry.manifest_bytes(version)
    manifest = versions.decode_for(registry.model, version, body)
    # Read in full, because reading verifies the digest of a file.
    for name in manifest.files:
        registry.read_file(manifest, name)
    registry.check_nothing_added(manifest)
    trust = Trust([PublicKey("signer", signer.public_key)])
    try:
        replace(registry, trust=trust).trusted(version)
    except UntrustedVersion:
        registry.sign(version, body, signer)
        return True
    return False
