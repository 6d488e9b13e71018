"""What is made up once for the stack of one machine, for this user only.

Settings are in `<home>/embedded.env`, credentials of the store in `<home>/identities/`.
"""

import secrets
from collections.abc import Mapping
from pathlib import Path

from overnight.infra import identities
from overnight.infra.settings import Settings
from overnight.infra.stack.ports import is_loopback
from overnight.store.local_files import write_atomically

ADMIN_TOKEN = "OVERNIGHT_ADMIN_TOKEN"  # noqa: S105 - the setting's name
PREFECT_AUTH = "OVERNIGHT_PREFECT_AUTH"


def path(home: Path) -> Path:
    """Where settings that were made up are read from; the environment wins over it."""
    return home / "embedded.env"


def add(home: Path, settings: Mapping[str, str], *, why: str) -> None:
    """Keep these settings, unless the file has one of them already."""
    home.mkdir(parents=True, exist_ok=True)
    file = path(home)
    before = file.read_text() if file.exists() else ""
    kept = {line.partition("=")[0].strip() for line in before.splitlines()}
    if kept.isdisjoint(settings):
        lines = [f"# {why}", *(f"{name}={value}" for name, value in settings.items())]
        write_atomically(file, (before + "\n".join(lines) + "\n").encode(), mode=0o600)


def write_credentials(home: Path) -> None:
    """Make up the credentials of every identity of the store, once.

    A home that an earlier release made has one credential, which goes on as administration's.
    """
    known: dict[identities.Name, identities.Credentials] = {}
    for name in identities.NAMES:
        before = path(home) if name == "administration" else None
        found = identities.read(identities.path(home, name))
        known[name] = found or (before and identities.read(before)) or identities.made_up()
    identities.path(home, "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, one in known.items():
        lines = [
            f"# Made by `overnight up`: who {name} is in the embedded store.",
            f"{identities.ACCESS_KEY}={one.access_key}",
            f"{identities.SECRET_KEY}={one.secret_key}",
        ]
        if name == "serving":
            # For the requests of administrators alone; see `serving/wsgi.py`.
            operator = known["operator"]
            lines.append(f"OVERNIGHT_S3_OPERATOR_ACCESS_KEY={operator.access_key}")
            lines.append(f"OVERNIGHT_S3_OPERATOR_SECRET_KEY={operator.secret_key}")
        file, words = identities.path(home, name), "\n".join(lines) + "\n"
        if not file.exists() or file.read_text() != words:
            write_atomically(file, words.encode(), mode=0o600)


def ensure_prefect_auth(settings: Settings) -> None:
    """Make up what Prefect asks for, when others can reach its server and nothing was chosen."""
    chosen = settings.prefect_auth.get_secret_value() or settings.prefect_api_url
    if not chosen and not is_loopback(settings.prefect_host):
        why = "Made by `overnight up`: user and password of the Prefect server."
        add(settings.home, {PREFECT_AUTH: f"overnight:{secrets.token_hex(32)}"}, why=why)


def ensure_administration(settings: Settings) -> None:
    """Make up a token for administration when the settings have none; it is shown nowhere."""
    if not settings.admin_token.get_secret_value() and settings.admin_tokens_file is None:
        why = "Made by `overnight up`: whoever sends it may administer serving."
        add(settings.home, {ADMIN_TOKEN: secrets.token_hex(32)}, why=why)


def where_administration(settings: Settings) -> str:
    """Where the tokens for administration are kept, in words; never what they are."""
    if settings.admin_tokens_file is not None:
        return str(settings.admin_tokens_file)
    token = settings.admin_token.get_secret_value()
    if not token:
        return "none yet, `overnight up` makes one"
    file = path(settings.home)
    is_ours = file.exists() and f"{ADMIN_TOKEN}={token}" in file.read_text().splitlines()
    return f"{ADMIN_TOKEN} in {file if is_ours else 'the environment'}"
