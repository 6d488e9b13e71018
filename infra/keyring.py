"""Key files: a private key for each identity that signs, and the public keys that are trusted.

Changes are ordered so that a process killed in between locks nothing out: a key is trusted before
it signs, and no private key is ever overwritten.
"""

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from io import BufferedRandom
from itertools import count
from pathlib import Path

from overnight.infra import identities
from overnight.infra.settings import Settings
from overnight.store.errors import ConfigurationError
from overnight.store.local_files import create, lock, numbered_fields, write_atomically
from overnight.store.trust.signing import Signer, key_id
from overnight.store.trust.trusted_keys import TRAINING, PublicKey, Right, parse, public_key

_HEADER = (
    "# Whose signatures count here: one `name ed25519:<base64> [rights]` a line.\n"
    "# `overnight keys trust` and `overnight keys revoke` change it.\n"
)


# What the key of each identity may sign.
RIGHTS: Mapping[identities.Signing, frozenset[Right]] = {
    "training": TRAINING,
    "administration": frozenset({"decisions", "aliases"}),
    "operator": frozenset({"decisions", "aliases"}),
    "serving": frozenset({"withdrawals"}),
}


def ensure(settings: Settings) -> bool:
    """Make the keys that this home lacks, and trust them; return whether there was any.

    A home that has the training key or the file of trusted keys alone was set up by an operator,
    and is left as it is. One of an earlier release lacks all keys but that of training.
    """
    is_ours = settings.signing_key_file is None and settings.trusted_keys_file is None
    is_set_up = settings.signing_key.exists(), settings.trusted_keys.exists()
    if not is_ours or len(set(is_set_up)) > 1:
        return False
    missing = [name for name in identities.SIGNING if not settings.key_of(name).exists()]
    for identity in missing:
        own = "this-machine" if identity == "training" else f"this-machine-{identity}"
        # A key that was trusted before its file was written, or whose file was lost, has the name.
        known = {key.name for key in trusted(settings.trusted_keys)}
        name = next(name for name in _names(own) if name not in known)
        new(settings, name=name, of=identity)
    return bool(missing)


def new(settings: Settings, *, name: str, of: identities.Signing = "training") -> PublicKey:
    """Make the key with which an identity signs here, and trust it.

    Raises:
        ConfigurationError: there is one already.
    """
    file = settings.key_of(of)
    with _locked(file):
        if file.exists():
            raise ConfigurationError(
                f"{file} signs for {of} already; "
                f"`overnight keys rotate{_option(of)}` puts another in its place"
            )
        signer = Signer.new()
        key = PublicKey(name, signer.public_key, RIGHTS[of])
        trust(settings.trusted_keys, key)
        _create_private(file, signer.pem())
    return key


def _names(own: str) -> Iterator[str]:
    yield own
    yield from (f"{own}-{number}" for number in count(2))


def _option(of: identities.Signing) -> str:
    return "" if of == "training" else f" --for {of}"


def create_for_later(file: Path, *, name: str, of: identities.Signing = "training") -> PublicKey:
    """Make a key that neither signs nor is trusted yet, to be distributed before `rotate`."""
    signer = Signer.new()
    _create_private(file, signer.pem())
    return PublicKey(name, signer.public_key, RIGHTS[of])


def rotate(
    settings: Settings,
    *,
    name: str,
    to: Path | None = None,
    of: identities.Signing = "training",
) -> tuple[PublicKey, str]:
    """Sign with another key from now on: a new one, or the one in the file `to`, which is moved.

    Both are trusted until the old one is revoked. Returns the new key and the id of the old one,
    whose private half is gone: what it signed is verified by its public half.

    Raises:
        ConfigurationError: there is no key to replace, or no usable one in the file.
    """
    file = settings.key_of(of)
    if to and to.exists() and file.exists() and to.samefile(file):
        raise ConfigurationError(f"{to} signs for {of} already; name a file with another key")
    with _locked(file):
        previous = Signer.from_file(file).key_id
        signer = Signer.from_file(to) if to is not None else Signer.new()
        key = PublicKey(name, signer.public_key, RIGHTS[of])
        if key.key_id not in {known.key_id for known in trusted(settings.trusted_keys)}:
            trust(settings.trusted_keys, key)
        # Trusted first: killed here, the previous key still signs and nothing is refused.
        write_atomically(file, signer.pem(), mode=0o600)
        if to is not None:
            to.unlink()
    return key, previous


def trusted(file: Path) -> list[PublicKey]:
    """The keys in a file of trusted keys; none where there is no file.

    Raises:
        ConfigurationError: it cannot be understood.
    """
    try:
        return parse(file.read_text("utf-8"), file)
    except FileNotFoundError:
        return []


def trust(file: Path, key: PublicKey) -> None:
    """Add a key to those trusted.

    Raises:
        ConfigurationError: its name or the key itself is among them already.
    """
    public_key(key.name, key.text)
    with _locked(file):
        for known in trusted(file):
            if known.name == key.name or known.key_id == key.key_id:
                raise ConfigurationError(
                    f"{file} has {known} already; choose another name, or revoke it first"
                )
        before = file.read_text("utf-8") if file.exists() else _HEADER
        added = f"{before}{'' if before.endswith(chr(10)) else chr(10)}{key.line}\n"
        write_atomically(file, added.encode())


def revoke(file: Path, named: str) -> PublicKey:
    """Trust a key no longer, given by its name or id; a comment in the file keeps which and when.

    Raises:
        ConfigurationError: no trusted key is called so.
    """
    with _locked(file):
        known = trusted(file)
        matches = [key for key in known if named in {key.name, key.key_id}]
        if not matches:
            raise ConfigurationError(
                f"no trusted key in {file} is called {named!r}; "
                f"there are: {', '.join(map(str, known)) or 'none'}"
            )
        (key,) = matches
        kept = [line for line in file.read_text("utf-8").splitlines() if not _is_of(line, key)]
        kept.append(f"# revoked {datetime.now(UTC):%Y-%m-%d}: {key}")
        write_atomically(file, ("\n".join(kept) + "\n").encode())
    return key


def signing(settings: Settings, of: identities.Signing = "training") -> str | None:
    """The id of the key with which an identity signs here, if there is one."""
    file = settings.key_of(of)
    return Signer.from_file(file).key_id if file.exists() else None


def _is_of(line: str, key: PublicKey) -> bool:
    return any(
        key_id(public_key(*fields[:2]).raw) == key.key_id for _, fields in numbered_fields(line)
    )


def _locked(file: Path) -> BufferedRandom:
    """Lock a file against other processes, so that no concurrent change to it is lost."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    return lock(file.with_name(f".{file.name}.lock"))


def _create_private(file: Path, body: bytes) -> None:
    """Create a file that only this user can read; one that is there stays as it is."""
    file.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    try:
        create(file, body, mode=0o600)
    except FileExistsError:
        raise ConfigurationError(f"{file} exists, and no key is ever overwritten") from None
