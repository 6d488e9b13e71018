"""State of the stack for other processes: `<home>/stack.json`, written by its supervisor."""

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from overnight.infra.stack.processes import ProcessId, is_alive
from overnight.store.local_files import write_atomically

Condition = Literal["waiting", "starting", "ready", "failing", "done", "stopped"]


class ServiceRecord(BaseModel):
    """State of one service; `fingerprint` is that of the `Service` its process was started from."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    name: str
    title: str
    condition: Condition = "waiting"
    process: ProcessId | None = None
    fingerprint: str = ""
    address: str = ""
    grpc_address: str = ""
    log: str = ""
    restarts: int = 0
    message: str = ""


class StackRecord(BaseModel):
    """State of the whole stack; `stopping` from the moment its stop was requested."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    supervisor: ProcessId | None = None
    stopping: bool = False
    services: tuple[ServiceRecord, ...] = ()

    @property
    def supervised(self) -> bool:
        """Whether the supervisor that wrote this is still alive."""
        return is_alive(self.supervisor)

    @property
    def ready(self) -> bool:
        """Whether the supervisor and every service are up."""
        well = all(service.condition in {"ready", "done"} for service in self.services)
        return self.supervised and bool(self.services) and well and not self.stopping

    def named(self, name: str) -> ServiceRecord | None:
        """The state of one service, or None."""
        return next((service for service in self.services if service.name == name), None)


def path(home: Path) -> Path:
    """The state file of a home."""
    return home / "stack.json"


def read(home: Path) -> StackRecord:
    """The state of a home's stack; empty when the file is missing or damaged."""
    try:
        return StackRecord.model_validate_json(path(home).read_bytes())
    except (OSError, ValidationError):
        return StackRecord()


def write(home: Path, record: StackRecord) -> None:
    """Replace the file atomically, so that no reader sees half of it."""
    body = record.model_dump_json(indent=2).encode()
    # Fingerprints are digests of settings, secrets among them: readable by this user only.
    write_atomically(path(home), body, durable=False, mode=0o600)
