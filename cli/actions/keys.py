"""What `overnight keys` does and tells."""

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
from overnight.tasks.release.sign import sign as sign_one


def new(name: str, file: Path | None) -> None:
    """Make a key, for now or for later."""
    settings = load()
    if file is not None:
        key = keyring.create_for_later(file, name=name)
        print(f"{file} holds the private key; {_elsewhere(key)}")
        print(f"then, here: overnight keys rotate {name} --to {file}")
        return
    key = keyring.new(settings, name=name)
    print(f"{settings.signing_key} signs from now on, and {settings.trusted_keys} trusts it")
    print(_elsewhere(key))


def rotate(name: str, to: Path | None) -> None:
    """Sign with another key, and say what is left to do."""
    settings = load()
    key, before = keyring.rotate(settings, name=name, to=to)
    print(f"{key} signs from now on; {before} stays trusted until it is revoked")
    print(_elsewhere(key))
    print("then sign what shall go on serving, while both are trusted: overnight keys sign MODEL")
    print(f"and at last, everywhere: overnight keys revoke {before}")


def trust(name: str, key: str) -> None:
    """Trust one more key."""
    settings = load()
    added = public_key(name, key)
    keyring.trust(settings.trusted_keys, added)
    print(f"{settings.trusted_keys} trusts {added} now")


def revoke(name: str) -> None:
    """Trust one key less."""
    settings = load()
    gone = keyring.revoke(settings.trusted_keys, name)
    print(f"{settings.trusted_keys} trusts {gone} no longer; start serving again to stop what it")
    print("signed from answering; `overnight keys sign MODEL VERSION` signs, with the key of now,")
    print("a version that you know to be yours")
    if keyring.signing(settings) == gone.key_id:
        print("it still signs from here: `overnight keys rotate NAME` puts another in its place")


def show(*, as_json: bool) -> None:
    """Every trusted key, and the one that signs though nobody trusts it here."""
    settings = load()
    keys, signs = keyring.trusted(settings.trusted_keys), keyring.signing(settings)
    told = [
        {"name": key.name, "id": key.key_id, "key": key.line.split()[1], "signs": False}
        | ({"signs": True} if key.key_id == signs else {})
        for key in keys
    ]
    document = {
        "trusted": told,
        "trusted_keys_file": str(settings.trusted_keys),
        "signing": signs,
        "signing_key_file": str(settings.signing_key) if signs else None,
    }
    if as_json:
        print(json.dumps(document, indent=2))
        return
    table = new_table("name", "id", "key", "")
    for one in told:
        table.add_row(*(str(one[name]) for name in ("name", "id", "key")), _role(one))
    console = open_console()
    console.print(table if told else f"no key is trusted here: {settings.trusted_keys} has none")
    if signs is None:
        console.print(f"nothing is signed from here: there is no {settings.signing_key}")
    elif signs not in {key.key_id for key in keys}:
        own = PublicKey("it", Signer.from_file(settings.signing_key).public_key)
        console.print(f"{settings.signing_key} signs here and is not trusted here: {own.line}")


def sign(model: str, version: str | None, *, yes: bool = False) -> None:
    """Sign one version or all of a model, and say of each what became of it.

    Whoever can write into the bucket can leave a version there that looks like ours. So of all
    only those are signed that somebody trusted signed before, unless a person answers for them.

    Raises:
        SystemExit: with 1, when a version is not what was published, or nobody answers for it.
    """
    settings = load()
    bucket, signer = connections.bucket(settings), Signer.from_file(settings.signing_key)
    registry = Registry(bucket).model(model)
    names = [version] if version else registry.versions()
    if not names:
        raise NothingPublished(model, Registry(bucket).models())
    known = keyring.trusted(settings.trusted_keys)
    left = False
    for name in names:
        try:
            if not (version or yes or is_known(registry, name, signer, known)):
                left = True
                print(
                    f"overnight: not signed: {describe_untrusted(registry, name)}", file=sys.stderr
                )
                continue
            is_new = sign_one(registry, name, signer)
            print(f"{model} {name}: {'signed' if is_new else 'signed before'} by {signer.key_id}")
        except CorruptVersion as error:
            left = True
            print(f"overnight: not signed: {error}", file=sys.stderr)
    # Serving finds out by itself, a little later.
    confirm.notify(settings.answers_url, model)
    if left:
        sys.exit(1)


def _elsewhere(key: PublicKey) -> str:
    name, words = key.line.split()
    return f"wherever else its versions shall serve: overnight keys trust {name} {words}"


def _role(one: dict[str, object]) -> str:
    return "signs here" if one["signs"] else ""
