"""What other processes may know of the stack: `<home>/stack.json`, written by its supervisor."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from overnight.infra.stack.processes import ProcessId, is_alive
from overnight.store.local_files import write_atomically

Condition = Literal["waiting", "starting", "ready", "failing", "done", "stopped"]


class ServiceRecord(BaseModel):
    """One service: `fingerprint` says what its process was started with."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    title: str
    condition: Condition = "waiting"
    process: ProcessId | None = None
    fingerprint: str = ""
    address: str = ""
    log: str = ""
    restarts: int = 0
    message: str = ""


class StackRecord(BaseModel):
    """The whole stack. `stopping` is set from the moment it was asked to stop."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    supervisor: ProcessId | None = None
    stopping: bool = False
    services: tuple[ServiceRecord, ...] = ()

    @property
    def supervised(self) -> bool:
        """Whether the supervisor that wrote this is still there."""
        return is_alive(self.supervisor)

    @property
    def ready(self) -> bool:
        """Whether every service is up and its supervisor with it."""
        well = all(service.condition in {"ready", "done"} for service in self.services)
        return self.supervised and bool(self.services) and well and not self.stopping

    def named(self, name: str) -> ServiceRecord | None:
        """What is known of one service."""
        return next((service for service in self.services if service.name == name), None)


def path(home: Path) -> Path:
    """Where the record of a home lies."""
    return home / "stack.json"


def read(home: Path) -> StackRecord:
    """The record of a home; an empty one when there is none, or none that can be read."""
    try:
        return StackRecord.model_validate_json(path(home).read_bytes())
    except (OSError, ValidationError):
        return StackRecord()


def write(home: Path, record: StackRecord) -> None:
    """Replace the record as a whole, so that no reader meets half of one."""
    body = record.model_dump_json(indent=2).encode()
    # Fingerprints are made of settings, secrets among them.
    write_atomically(path(home), body, durable=False, mode=0o600)
