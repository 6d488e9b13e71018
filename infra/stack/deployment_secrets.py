"""Makes the secrets of a deployment, as the files that compose and Kubernetes mount.

`python -m overnight.infra.stack.deployment_secrets FOLDER` makes what FOLDER lacks, and replaces
nothing. Copy the folder to a safe place: versions are trusted by the keys in it.
"""

import argparse
import secrets
import sys
from collections.abc import Mapping
from pathlib import Path

from overnight.infra import identities, keyring
from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets
from overnight.store.errors import OvernightError
from overnight.store.local_files import write_atomically

# Containers run as a user of their own, and compose mounts the very files of the host. Nobody but
# the owner of the folder comes through it to them.
_MODE = 0o444
_KEY_FILES = ("signing_key", "administration_key", "operator_key", "serving_key", "trusted_keys")


def main() -> int:
    """Exit code 0 when the folder has everything."""
    parser = argparse.ArgumentParser(prog="deployment_secrets", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--manual", action="append", default=[], help="a model that people promote")
    arguments = parser.parse_args()
    try:
        make(arguments.folder.absolute(), load("administration"), manual=arguments.manual)
    except (OvernightError, OSError) as error:
        print(f"deployment_secrets: {error}", file=sys.stderr)
        return 1
    return 0


def make(folder: Path, settings: Settings, *, manual: list[str]) -> None:
    """Make the credentials, keys, passwords and tokens that the folder lacks.

    Raises:
        ConfigurationError: a file that is there is damaged.
        OSError: the folder cannot be written to.
    """
    local_secrets.make_private(folder)
    local_secrets.write_credentials(folder)
    own = {"home": folder} | {f"{name}_file": None for name in _KEY_FILES}
    keyring.ensure(settings.model_copy(update=own))
    known = {
        name: credentials
        for name in identities.NAMES
        if (credentials := identities.read(identities.path(folder, name))) is not None
    }
    # Made anew each time, because it follows from the others.
    config = identities.for_seaweedfs(settings.s3_bucket, known, manual=manual)
    write_atomically(folder / "s3.json", config.encode())
    for name, value in _passwords(folder).items():
        if not (folder / name).exists():
            write_atomically(folder / name, value.encode())
    for file in folder.rglob("*"):
        if file.is_file():
            file.chmod(_MODE)


def _passwords(folder: Path) -> Mapping[str, str]:
    """Passwords and tokens by the names of their files; capitals are environment variables."""
    kept = folder / "postgres-password"
    postgres = kept.read_text() if kept.exists() else secrets.token_hex(24)
    kept = folder / "OVERNIGHT_PREFECT_AUTH"
    prefect = kept.read_text() if kept.exists() else f"overnight:{secrets.token_hex(32)}"
    return {
        "OVERNIGHT_PREFECT_AUTH": prefect,
        "PREFECT_SERVER_API_AUTH_STRING": prefect,
        "PREFECT_SERVER_DATABASE_CONNECTION_URL": (
            f"postgresql+asyncpg://prefect:{postgres}@postgres:5432/prefect"
        ),
        "postgres-password": postgres,
        "grafana-password": secrets.token_hex(24),
        "admin-tokens": f"operator {secrets.token_hex(32)}\n",
        "prediction-keys": f"client {secrets.token_hex(32)}\n",
    }


if __name__ == "__main__":
    sys.exit(main())
