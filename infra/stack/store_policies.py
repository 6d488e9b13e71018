"""What the embedded store lets training do with each model, as the definitions say now."""

import logging
import os
import signal
from contextlib import suppress

from overnight import models
from overnight.infra.settings import Settings
from overnight.infra.stack import seaweedfs_service, state_file
from overnight.infra.stack.processes import is_alive
from overnight.store.errors import ConfigurationError

logger = logging.getLogger(__name__)


def apply(settings: Settings) -> None:
    """Leave the promotion of some models to people, also in a store that runs.

    A store of somebody else's has policies of its own: see infra/policies.
    """
    if settings.s3_endpoint is not None:
        return
    seaweedfs_service.keep_manual(settings.home, _manual_models())
    if not seaweedfs_service.write_identities(settings):
        return
    store = state_file.read(settings.home).named(seaweedfs_service.NAME)
    if store is not None and store.process is not None and is_alive(store.process):
        with suppress(ProcessLookupError):
            os.kill(store.process.pid, signal.SIGHUP)


def _manual_models() -> tuple[str, ...]:
    """The models whose definition says that a person approves their versions.

    One that cannot be read counts as such: store and serving must start in spite of it.
    """
    return tuple(name for name in models.names() if _is_manual(name))


def _is_manual(model: str) -> bool:
    try:
        return models.find(model).approval == "manual"
    except ConfigurationError as error:
        logger.warning("%s", error)
        return True
