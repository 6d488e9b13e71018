"""Keeps the whole stack alive, in order, and stops it in the opposite order."""

import logging
import os
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from io import BufferedRandom
from pathlib import Path

from overnight.infra.stack import processes, state_file
from overnight.infra.stack.service import Service
from overnight.infra.stack.service_runner import Keeper
from overnight.infra.stack.state_file import ServiceRecord, StackRecord
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.local_files import try_lock

_LOOK_SECONDS = 0.25
_FLUSH_SECONDS = 1.0
# After an error nobody foresaw: a full disk or process table, which pass.
_STUMBLE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Supervisor:
    """The stack of one home. Services come in the order of their start; they stop in reverse."""

    def __init__(
        self, home: Path, services: Sequence[Service], *, flushed: Path | None = None
    ) -> None:
        self._home = home
        self._services = services
        self._flushed = flushed
        self._keepers: tuple[Keeper, ...] = ()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._writing = threading.Lock()
        self._written: tuple[ServiceRecord, ...] = ()
        self._lock: BufferedRandom | None = None

    def start(self) -> None:
        """Take over what an earlier supervisor left, and start the rest.

        Raises:
            ConfigurationError: another supervisor keeps this home.
        """
        self._lock = _alone(self._home)
        before = state_file.read(self._home)
        self._keepers = tuple(
            Keeper(service, before=before.named(service.name)) for service in self._services
        )
        self._drop_unplanned(before)
        self._write()
        jobs = [self._steadily(partial(self._keep, one), _LOOK_SECONDS) for one in self._keepers]
        if self._flushed is not None:
            jobs.append(self._steadily(partial(_flush, self._flushed), _FLUSH_SECONDS))
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop every service, the last one first."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._write_if_possible()
        for keeper in reversed(self._keepers):
            # What cannot be told to a server that is gone needs not be told.
            with suppress(OvernightError):
                keeper.service.before_stop()
            keeper.stop()
            with suppress(OvernightError):
                keeper.service.after_stop()
            self._write_if_possible()
        if self._lock is not None:
            self._lock.close()

    def _drop_unplanned(self, before: StackRecord) -> None:
        """End what ran under other settings and is not part of the stack any more."""
        planned = {service.name for service in self._services}
        for service in before.services:
            if service.name not in planned and service.process is not None:
                processes.end(service.process, seconds=10)

    def _steadily(self, step: Callable[[], None], seconds: float) -> Callable[[], None]:
        """A step again and again until we stop; an error ends the step, never the loop."""

        def loop() -> None:
            while not self._stopping.wait(seconds):
                try:
                    step()
                except Exception:
                    logger.exception("a step of the supervisor failed; it is tried again")
                    self._stopping.wait(_STUMBLE_SECONDS)

        return loop

    def _keep(self, keeper: Keeper) -> None:
        keeper.look(self._is_ready)
        if keeper.record not in self._written:
            self._write()

    def _is_ready(self, name: str) -> bool:
        """Whether a service may be relied on; one that is not ours to run always may."""
        conditions = {keeper.service.name: keeper.record.condition for keeper in self._keepers}
        return conditions.get(name, "ready") in {"ready", "done"}

    def _write(self) -> None:
        with self._writing:
            shown = StackRecord(
                supervisor=processes.identify(os.getpid()),
                stopping=self._stopping.is_set(),
                services=tuple(keeper.record for keeper in self._keepers),
            )
            state_file.write(self._home, shown)
            self._written = shown.services

    def _write_if_possible(self) -> None:
        """A full disk must not keep services from being stopped."""
        with suppress(OSError):
            self._write()


def _flush(folder: Path) -> None:
    """Bound what a power cut can lose to about a second: the store itself never syncs."""
    if folder.is_dir():
        subprocess.run(["sync", "-f", str(folder)], check=False)


def stop_orphans(home: Path, services: Sequence[Service]) -> None:
    """Stop what a dead supervisor left running, in the same order and as gently."""
    lock = _alone(home)
    before = state_file.read(home)
    plan = {service.name: service for service in services}
    stopped = []
    for orphan in reversed(before.services):
        service = plan.get(orphan.name)
        with suppress(OvernightError):
            if service is not None:
                service.before_stop()
        if orphan.process is not None:
            processes.end(orphan.process, seconds=service.stop_seconds if service else 10)
        with suppress(OvernightError):
            if service is not None:
                service.after_stop()
        stopped.append(orphan.model_copy(update={"condition": "stopped", "process": None}))
    state_file.write(home, before.model_copy(update={"services": tuple(reversed(stopped))}))
    lock.close()


def _alone(home: Path) -> BufferedRandom:
    """Hold the home until the file is closed, or this process is gone.

    Raises:
        ConfigurationError: another supervisor holds it.
    """
    held = try_lock(home / "stack.lock")
    if held is None:
        raise ConfigurationError(
            f"another supervisor keeps {home}; `overnight status` shows its services, "
            "`overnight down` stops them"
        )
    return held
