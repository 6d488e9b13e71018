"""Sign a version that exists: one of an earlier release, or with the key that replaces another."""

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
    """Whether one of the known keys, or the signer's, signed this version's manifest as it is.

    A decision or an alias record shows nothing: whoever can write a version may write those, too.

    Raises:
        UnknownVersion, CorruptVersion: there is no such version.
    """
    own = PublicKey("signer", signer.public_key)
    try:
        replace(registry, trust=Trust([*known, own])).trusted(version)
    except UntrustedVersion:
        return False
    return True


def describe_untrusted(registry: ModelRegistry, version: str) -> str:
    """What a person has to know to say whether a version that nobody trusted signed is theirs."""
    model, body = registry.model, registry.manifest_bytes(version)
    run = versions.decode_for(model, version, body).run
    signed = ", ".join(registry.signers(version)) or "nobody"
    return (
        f"{model} {version}, of the run {run.name or 'of no name'} {run.url or run.id}".rstrip()
        + f", its manifest's sha256 {digest(body)}, signed by {signed}: no key that is "
        f"trusted here vouches for it; if it is yours, `overnight keys sign {model} {version}`, or "
        "--yes for all that are listed so"
    )


def sign(registry: ModelRegistry, version: str, signer: Signer) -> bool:
    """Sign what a manifest lists, once every file was found to be as listed, and nothing more.

    Returns whether it had to be signed: False when this key has signed it already.

    Raises:
        UnknownVersion: there is no such version.
        CorruptVersion: a file is missing, changed or added; nothing is signed then.
    """
    body = registry.manifest_bytes(version)
    manifest = versions.decode_for(registry.model, version, body)
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
