"""Description of one service of the stack: its program, dependencies, ports and health check."""

import hashlib
import json
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from overnight.infra.stack.ports import Listening

# A server that takes longer for one answer is hung, and not only on a machine under load.
LATEST_ANSWER_SECONDS = 30.0


def _nothing() -> None:
    """The default of all hooks."""


def _does_not_respond() -> bool:
    """The default of services whose health check needs no longer than the check allows."""
    return False


@dataclass(frozen=True)
class Service:
    """A program that is kept running.

    `ready` is the health check, called with the start of the process in seconds since the epoch; it
    returns within two seconds and never raises. `before_start` runs before each start of its
    process, `prepare` once after it was first ready, `before_stop` and `after_stop` around its end;
    what they raise is an `OvernightError`. A service that is `once` is done when it has ended with
    exit code 0. `responds` is asked before a service is ended as hung, and may take half a minute.
    """

    name: str
    title: str
    command: tuple[str, ...]
    environment: Mapping[str, str]
    folder: Path
    log: Path
    ready: Callable[[float], bool]
    responds: Callable[[], bool] = _does_not_respond
    before_start: Callable[[], None] = _nothing
    prepare: Callable[[], None] = _nothing
    before_stop: Callable[[], None] = _nothing
    after_stop: Callable[[], None] = _nothing
    after: tuple[str, ...] = ()
    listens: tuple[Listening, ...] = ()
    address: str = ""
    # Host and port, where it answers over gRPC, too.
    grpc_address: str = ""
    # A digest of the settings that its process reads by itself.
    settings: str = ""
    once: bool = False
    stop_seconds: float = 10
    # A service that was ready and fails its check for so long is hung, and restarted.
    hung_seconds: float = 120

    @property
    def fingerprint(self) -> str:
        """A digest of command, environment and settings; for take-over by a later supervisor."""
        # One Python has several names: `python`, `python3`.
        command = [sys.prefix if part == sys.executable else part for part in self.command]
        environment = sorted(self.environment.items())
        started_with = [command, environment, str(self.folder), self.settings]
        return hashlib.sha256(json.dumps(started_with).encode()).hexdigest()[:16]
