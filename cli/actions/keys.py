"""`overnight keys`: make, rotate, trust and revoke keys, and sign versions."""

import json
import sys
from pathlib import Path

from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections, keyring
from overnight.infra.settings import load
from overnight.store.errors import CorruptVersion, NothingPublished
from overnight.store.registry.registry import Registry
from overnight.store.trust.signing import Signer
from overnight.store.trust.trusted_keys import PublicKey, public_key
from overnight.tasks.release import confirm
from overnight.tasks.release.sign import describe_untrusted, is_known
from overnight.tasks.release.sign import sign as sign_version


def new(name: str, file: Path | None) -> None:
    """Make the signing key, or with `file` one for a later rotation."""
    settings = load()
    if file is not None:
        key = keyring.create_for_later(file, name=name)
        print(f"{file} holds the private key; {_trust_command(key)}")
        print(f"then, here: overnight keys rotate {name} --to {file}")
        return
    key = keyring.new(settings, name=name)
    print(f"{settings.signing_key} signs from now on, and {settings.trusted_keys} trusts it")
    print(_trust_command(key))


def rotate(name: str, to: Path | None) -> None:
    """Sign with another key, and print the remaining steps of the rotation."""
    settings = load()
    key, previous = keyring.rotate(settings, name=name, to=to)
    print(f"{key} signs from now on; {previous} stays trusted until it is revoked")
    print(_trust_command(key))
    print("then, while both are trusted, sign versions that shall serve: overnight keys sign MODEL")
    print(f"finally, everywhere: overnight keys revoke {previous}")


def trust(name: str, key: str) -> None:
    """Trust one more key."""
    settings = load()
    added = public_key(name, key)
    keyring.trust(settings.trusted_keys, added)
    print(f"{settings.trusted_keys} trusts {added} now")


def revoke(name: str) -> None:
    """Trust one key less."""
    settings = load()
    revoked = keyring.revoke(settings.trusted_keys, name)
    print(f"{settings.trusted_keys} does not trust {revoked} any more; restart serving to unload")
    print("versions that it signed; `overnight keys sign MODEL VERSION` signs a version that is")
    print("yours with the current key")
    if keyring.signing(settings) == revoked.key_id:
        print("it is still the signing key here: replace it with `overnight keys rotate NAME`")


def show(*, as_json: bool) -> None:
    """Print the trusted keys and the signing key, which may not be trusted here."""
    settings = load()
    keys, signing = keyring.trusted(settings.trusted_keys), keyring.signing(settings)
    trusted = [
        {
            "name": key.name,
            "id": key.key_id,
            "key": key.line.split()[1],
            "signs": key.key_id == signing,
        }
        for key in keys
    ]
    document = {
        "trusted": trusted,
        "trusted_keys_file": str(settings.trusted_keys),
        "signing": signing,
        "signing_key_file": str(settings.signing_key) if signing else None,
    }
    if as_json:
        print(json.dumps(document, indent=2))
        return
    table = new_table("name", "id", "key", "")
    for key in trusted:
        role = "signs here" if key["signs"] else ""
        table.add_row(str(key["name"]), str(key["id"]), str(key["key"]), role)
    console = open_console()
    console.print(table if trusted else f"no key is trusted here: {settings.trusted_keys} has none")
    if signing is None:
        console.print(f"nothing is signed here: there is no {settings.signing_key}")
    elif signing not in {key.key_id for key in keys}:
        # The whole line, as `overnight keys trust` takes it elsewhere.
        own = PublicKey("it", Signer.from_file(settings.signing_key).public_key)
        console.print(f"{settings.signing_key} signs here and is not trusted here: {own.line}")


def sign(model: str, version: str | None, *, yes: bool = False) -> None:
    """Sign one version or all of a model, and print the result for each.

    Raises:
        SystemExit: with 1, when a version is left unsigned: it is not as it was published, or it
            has no trusted signature and was not named or confirmed with `yes`.
    """
    settings = load()
    bucket, signer = connections.bucket(settings), Signer.from_file(settings.signing_key)
    registry = Registry(bucket).model(model)
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
    # Only to save time: serving also finds out at its next poll.
    confirm.notify(settings.answers_url, model)
    if unsigned:
        sys.exit(1)


def _trust_command(key: PublicKey) -> str:
    name, public = key.line.split()
    return f"wherever else its versions shall serve: overnight keys trust {name} {public}"
