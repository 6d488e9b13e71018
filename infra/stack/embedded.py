"""What is made up once for the stack of one machine: `<home>/embedded.env`, for this user only."""

import os
import secrets
from collections.abc import Mapping
from pathlib import Path

from infra.settings import Settings

ADMIN_TOKEN = "OVERNIGHT_ADMIN_TOKEN"  # noqa: S105 - the setting's name


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
        write_private(file, before + "\n".join(lines) + "\n")


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


def write_private(file: Path, words: str) -> None:
    """Replace a file as a whole by one that only this user can read."""
    fresh = file.with_suffix(".new")
    fresh.unlink(missing_ok=True)
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as opened:
        opened.write(words)
    fresh.replace(file)
