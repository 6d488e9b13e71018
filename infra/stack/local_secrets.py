"""Secrets of a one-machine stack, generated once and readable by this user only.

Settings are in `<home>/embedded.env`, credentials of the store in `<home>/identities/`.
"""

import secrets
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path

from overnight.infra import identities
from overnight.infra.settings import Settings
from overnight.store.local_files import write_atomically

ADMIN_TOKEN = "OVERNIGHT_ADMIN_TOKEN"  # noqa: S105 - the setting's name
PREFECT_AUTH = "OVERNIGHT_PREFECT_AUTH"


def path(home: Path) -> Path:
    """The file of generated settings; the environment wins over it."""
    return home / "embedded.env"


def make_private(home: Path) -> None:
    """Create the home, and close it to other users: earlier releases left its files readable."""
    home.mkdir(mode=0o700, parents=True, exist_ok=True)
    # The owner of a mounted folder may be somebody else, who decides about it.
    with suppress(PermissionError):
        home.chmod(0o700)


def add(home: Path, settings: Mapping[str, str], *, why: str) -> None:
    """Write settings to the file, unless it has one of them already."""
    home.mkdir(parents=True, exist_ok=True)
    file = path(home)
    before = file.read_text() if file.exists() else ""
    kept = {line.partition("=")[0].strip() for line in before.splitlines()}
    if kept.isdisjoint(settings):
        lines = [f"# {why}", *(f"{name}={value}" for name, value in settings.items())]
        write_atomically(file, (before + "\n".join(lines) + "\n").encode(), mode=0o600)


def write_credentials(home: Path, *, endpoint: str = "", bucket: str = "") -> None:
    """Generate the credentials of every identity of the store, once.

    The single credential in a home of an earlier release becomes administration's. The file of
    `reading` names the endpoint and the bucket as well, where they are given: other programs than
    ours take all that they need from it.
    """
    all_known: dict[identities.Name, identities.Credentials] = {}
    for name in identities.NAMES:
        before = path(home) if name == "administration" else None
        stored = identities.read(identities.path(home, name))
        all_known[name] = stored or (before and identities.read(before)) or identities.generate()
    identities.path(home, "").parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for name, credentials in all_known.items():
        lines = [
            f"# Made by `overnight up`: credentials of {name} for the embedded store.",
            f"{identities.ACCESS_KEY}={credentials.access_key}",
            f"{identities.SECRET_KEY}={credentials.secret_key}",
        ]
        if name == "serving":
            # For the requests of administrators alone; see `serving/wsgi.py`.
            operator = all_known["operator"]
            lines.append(f"OVERNIGHT_S3_OPERATOR_ACCESS_KEY={operator.access_key}")
            lines.append(f"OVERNIGHT_S3_OPERATOR_SECRET_KEY={operator.secret_key}")
        if name == "reading" and endpoint:
            # Not as our own setting of the endpoint, which would declare a store of one's own.
            lines += [f"AWS_ENDPOINT_URL={endpoint}", f"OVERNIGHT_S3_BUCKET={bucket}"]
        file, text = identities.path(home, name), "\n".join(lines) + "\n"
        if not file.exists() or file.read_text() != text:
            write_atomically(file, text.encode(), mode=0o600)


def ensure_prefect_auth(settings: Settings) -> None:
    """Generate user and password of the embedded Prefect server when the settings have none."""
    chosen = settings.prefect_auth.get_secret_value() or settings.prefect_api_url
    if not chosen:
        why = "Made by `overnight up`: user and password of the Prefect server."
        add(settings.home, {PREFECT_AUTH: f"overnight:{secrets.token_hex(32)}"}, why=why)


def ensure_admin_token(settings: Settings) -> None:
    """Generate a token for administration when the settings have none; it is never shown."""
    if not settings.admin_token.get_secret_value() and settings.admin_tokens_file is None:
        why = "Made by `overnight up`: the token for administration of serving."
        add(settings.home, {ADMIN_TOKEN: secrets.token_hex(32)}, why=why)


def prefect_sign_in(settings: Settings, *, to_terminal: bool) -> str:
    """How a browser is let in by the embedded Prefect server; empty for a server elsewhere.

    Only the terminal of a person shows the password; a pipe or a log shows where it is kept.
    """
    auth = settings.prefect_auth.get_secret_value()
    if settings.prefect_api_url is not None or not auth:
        return ""
    where = _location(settings, PREFECT_AUTH, auth)
    shown = f"{auth}  ({where})" if to_terminal else f"the value of {where}"
    return f"To sign in to Prefect, paste {shown}"


def admin_token_location(settings: Settings) -> str:
    """Where the tokens for administration are kept, as text for people; never the tokens."""
    if settings.admin_tokens_file is not None:
        return str(settings.admin_tokens_file)
    token = settings.admin_token.get_secret_value()
    if not token:
        return "none yet, `overnight up` makes one"
    return _location(settings, ADMIN_TOKEN, token)


def _location(settings: Settings, name: str, value: str) -> str:
    file = path(settings.home)
    is_ours = file.exists() and f"{name}={value}" in file.read_text().splitlines()
    return f"{name} in {file if is_ours else 'the environment'}"
