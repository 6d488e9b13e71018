"""Signs what an earlier release left unsigned, once, before serving starts and asks for it.

Decisions and alias records of earlier releases have no signatures, and serving follows none
without. A file in the home says that it was done: an object that somebody writes after that
must not get a signature by a restart.
"""

import logging
from datetime import UTC, datetime
from pathlib import Path

from overnight.infra import connections
from overnight.infra.settings import Settings
from overnight.store.local_files import write_atomically
from overnight.store.registry.endorsement import endorse
from overnight.store.registry.registry import Registry

logger = logging.getLogger(__name__)


def marker(settings: Settings) -> Path:
    """The file that says when the records of this home's store were signed."""
    return settings.home / "keys" / "records-signed"


def sign_records_once(settings: Settings) -> None:
    """Sign the approvals and the newest alias records of every model, unless it was done before.

    A home whose operator keeps the keys elsewhere is left to `overnight keys sign MODEL --yes`.

    Raises:
        StoreUnavailable, StoreDenied, ConfigurationError
    """
    key = settings.key_of("administration")
    if marker(settings).exists() or not key.exists() or not settings.trusted_keys.exists():
        return
    registry = Registry(connections.bucket(settings), connections.trust(settings))
    signer = connections.record_signer(settings, "administration")()
    for model in registry.models():
        for line in endorse(registry.model(model), signer, confirmed=True):
            logger.warning("%s", line)
    done = f"Approvals and alias records were signed on {datetime.now(UTC):%Y-%m-%d}.\n"
    write_atomically(marker(settings), done.encode())
