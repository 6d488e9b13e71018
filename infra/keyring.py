"""Key files: the private key that signs versions, and the public keys that are trusted.

Changes are ordered so that a process killed in between locks nothing out: a key is trusted before
it signs, and no private key is ever overwritten.
"""

from datetime import UTC, datetime
from io import BufferedRandom
from pathlib import Path

from overnight.infra.settings import Settings
from overnight.store.errors import ConfigurationError
from overnight.store.local_files import create, lock, numbered_fields, write_atomically
from overnight.store.trust.signing import Signer, key_id
from overnight.store.trust.trusted_keys import PublicKey, parse, public_key

_HEADER = (
    "# Whose versions are trusted here: one `name ed25519:<base64>` a line.\n"
    "# `overnight keys trust` and `overnight keys revoke` change it.\n"
)


def ensure(settings: Settings) -> bool:
    """Make a key that signs and is trusted, where this home has neither; return whether it did.

    A home that has either file was set up by an operator, and is left as it is.
    """
    is_ours = settings.signing_key_file is None and settings.trusted_keys_file is None
    if not is_ours or settings.signing_key.exists() or settings.trusted_keys.exists():
        return False
    new(settings, name="this-machine")
    return True


def new(settings: Settings, *, name: str) -> PublicKey:
    """Make the key that signs from here, and trust it.

    Raises:
        ConfigurationError: there is one already.
    """
    with _locked(settings.signing_key):
        if settings.signing_key.exists():
            raise ConfigurationError(
                f"{settings.signing_key} signs versions already; "
                "`overnight keys rotate` puts another in its place"
            )
        signer = Signer.new()
        key = PublicKey(name, signer.public_key)
        trust(settings.trusted_keys, key)
        _create_private(settings.signing_key, signer.pem())
    return key


def create_for_later(file: Path, *, name: str) -> PublicKey:
    """Make a key that neither signs nor is trusted yet, to be distributed before `rotate`."""
    signer = Signer.new()
    _create_private(file, signer.pem())
    return PublicKey(name, signer.public_key)


def rotate(settings: Settings, *, name: str, to: Path | None = None) -> tuple[PublicKey, str]:
    """Sign with another key from now on: a new one, or the one in the file `to`, which is moved.

    Both are trusted until the old one is revoked. Returns the new key and the id of the old one,
    whose private half is gone: what it signed is verified by its public half.

    Raises:
        ConfigurationError: there is no key to replace, or no usable one in the file.
    """
    if to and to.exists() and settings.signing_key.exists() and to.samefile(settings.signing_key):
        raise ConfigurationError(f"{to} signs versions already; name a file with another key")
    with _locked(settings.signing_key):
        previous = Signer.from_file(settings.signing_key).key_id
        signer = Signer.from_file(to) if to is not None else Signer.new()
        key = PublicKey(name, signer.public_key)
        if key.key_id not in {known.key_id for known in trusted(settings.trusted_keys)}:
            trust(settings.trusted_keys, key)
        # Trusted first: killed here, the previous key still signs and nothing is refused.
        write_atomically(settings.signing_key, signer.pem(), mode=0o600)
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
    public_key(key.name, key.line.split()[1])
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


def signing(settings: Settings) -> str | None:
    """The id of the key that signs from here, if there is one."""
    return Signer.from_file(settings.signing_key).key_id if settings.signing_key.exists() else None


def _is_of(line: str, key: PublicKey) -> bool:
    return any(key_id(public_key(*fields).raw) == key.key_id for _, fields in numbered_fields(line))


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
