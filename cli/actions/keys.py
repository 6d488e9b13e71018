"""`overnight keys`: make, rotate, trust and revoke keys, and sign versions."""

import json
import sys
from pathlib import Path

from overnight.cli.terminal import new_table, open_console
from overnight.cli.version_names import resolve
from overnight.infra import connections, keyring
from overnight.infra.identities import SIGNING, Signing
from overnight.infra.settings import load
from overnight.store.errors import CorruptVersion, NothingPublished
from overnight.store.registry.endorsement import NOT_SIGNED, endorse
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import TRAINING, PublicKey, parse_rights, public_key
from overnight.tasks.release import confirm
from overnight.tasks.release.sign import describe_untrusted, is_known
from overnight.tasks.release.sign import sign as sign_version


def new(name: str, file: Path | None, *, of: Signing) -> None:
    """Make the key of an identity, or with `file` one for a later rotation."""
    settings = load()
    if file is not None:
        key = keyring.create_for_later(file, name=name, of=of)
        print(f"{file} holds the private key; {_trust_command(key)}")
        option = "" if of == "training" else f" --for {of}"
        print(f"then, here: overnight keys rotate {name} --to {file}{option}")
        return
    key = keyring.new(settings, name=name, of=of)
    print(f"{settings.key_of(of)} signs from now on, and {settings.trusted_keys} trusts it")
    print(_trust_command(key))


def rotate(name: str, to: Path | None, *, of: Signing) -> None:
    """Sign with another key, and print the remaining steps of the rotation."""
    settings = load()
    key, previous = keyring.rotate(settings, name=name, to=to, of=of)
    print(f"{key} signs from now on; {previous} stays trusted until it is revoked")
    print(_trust_command(key))
    print("then, while both are trusted, sign what the old one signed: overnight keys sign MODEL")
    print(f"finally, everywhere: overnight keys revoke {previous}")


def trust(name: str, key: str, rights: str | None) -> None:
    """Trust one more key, by default for what training signs."""
    settings = load()
    added = public_key(name, key, rights=parse_rights(rights) if rights else TRAINING)
    keyring.trust(settings.trusted_keys, added)
    print(f"{settings.trusted_keys} trusts {added} now")


def revoke(name: str) -> None:
    """Trust one key less."""
    settings = load()
    revoked = keyring.revoke(settings.trusted_keys, name)
    print(f"{settings.trusted_keys} does not trust {revoked} any more; restart serving to unload")
    print("versions that it signed; `overnight keys sign MODEL VERSION` signs a version that is")
    print("yours with the current key")
    for identity in SIGNING:
        if keyring.signing(settings, identity) == revoked.key_id:
            option = "" if identity == "training" else f" --for {identity}"
            print("it is still the signing key here: replace it with")
            print(f"`overnight keys rotate NAME{option}`")


def show(*, as_json: bool) -> None:
    """Print the trusted keys and the signing key, which may not be trusted here."""
    settings = load()
    keys = keyring.trusted(settings.trusted_keys)
    own = {identity: keyring.signing(settings, identity) for identity in SIGNING}
    trusted = [
        {
            "name": key.name,
            "id": key.key_id,
            "key": key.text,
            "rights": key.rights_text,
            "signs": key.key_id == own["training"],
            "signs_for": [identity for identity in SIGNING if own[identity] == key.key_id],
        }
        for key in keys
    ]
    document = {
        "trusted": trusted,
        "trusted_keys_file": str(settings.trusted_keys),
        "signing": own["training"],
        "signing_key_file": str(settings.signing_key) if own["training"] else None,
        "signing_for": own,
    }
    if as_json:
        print(json.dumps(document, indent=2))
        return
    table = new_table("name", "id", "may sign", "signs here for")
    for key in keys:
        signs_for = ", ".join(identity for identity in SIGNING if own[identity] == key.key_id)
        table.add_row(key.name, key.key_id, key.rights_text, signs_for)
    console = open_console()
    console.print(table if trusted else f"no key is trusted here: {settings.trusted_keys} has none")
    if trusted:
        console.print("\nTo trust one elsewhere, run `overnight keys trust` there with its line:")
    for key in keys:
        # One line each, also where the terminal is narrower, so that it can be copied.
        console.print(f"  {key.line}", soft_wrap=True)
    if not any(own.values()):
        console.print(f"nothing is signed here: there is no {settings.signing_key}")
    for identity, signing in own.items():
        if signing is not None and signing not in {key.key_id for key in keys}:
            # The whole line, as `overnight keys trust` takes it elsewhere.
            file = settings.key_of(identity)
            shown = PublicKey("it", Signer.from_file(file).public_key, keyring.RIGHTS[identity])
            console.print(f"{file} signs here and is not trusted here: {shown.line}")


def sign(model: str, version: str | None, *, yes: bool = False) -> None:
    """Sign one version or all of a model, and print the result for each.

    Raises:
        SystemExit: with 1, when a version is left unsigned: it is not as it was published, or it
            has no trusted signature and was not named or confirmed with `yes`.
    """
    settings = load()
    bucket, signer = connections.bucket(settings), Signer.from_file(settings.signing_key)
    registry = Registry(bucket).model(model)
    version = resolve(bucket, model, version) if version else None
    names = [version] if version else registry.versions()
    if not names:
        raise NothingPublished(model, Registry(bucket).models())
    known = keyring.trusted(settings.trusted_keys)
    unsigned = False
    for name in names:
        try:
            # Anybody who can write into the bucket can leave a version there that looks like ours.
            if not (version or yes or is_known(registry, name, signer, known)):
                unsigned = True
                print(
                    f"overnight: not signed: {describe_untrusted(registry, name)}", file=sys.stderr
                )
                continue
            is_new = sign_version(registry, name, signer)
            print(f"{model} {name}: {'signed' if is_new else 'signed before'} by {signer.key_id}")
        except CorruptVersion as error:
            unsigned = True
            print(f"overnight: not signed: {error}", file=sys.stderr)
    trust = connections.trust(settings)
    # Its own key: administration may sign what people decide, training may not.
    people = connections.record_signer(settings, "administration")()
    endorsed = ModelRegistry(bucket, model, trust)
    decision = endorsed.decisions.find(version) if version else None
    if version and decision:
        endorsed.decisions.sign(version, people)
        print(f"{model} {version}: {decision.verdict} by {decision.by}, signed by {people.key_id}")
    for line in () if version else endorse(endorsed, people, confirmed=yes):
        if line.startswith(NOT_SIGNED):
            unsigned = True
            print(f"overnight: {line}; if it is yours, add --yes", file=sys.stderr)
        else:
            print(f"{line}: signed by {people.key_id}")
    # Only to save time: serving also finds out at its next poll.
    confirm.notify(settings.answers_url, model)
    if unsigned:
        sys.exit(1)


def _trust_command(key: PublicKey) -> str:
    return f"wherever else its signatures shall count: overnight keys trust {key.line}"
