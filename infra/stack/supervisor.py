"""Supervisor of all services: starts them in order, keeps them alive, stops them in reverse."""

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
from overnight.infra.stack.service_runner import ServiceRunner
from overnight.infra.stack.state_file import ServiceRecord, StackRecord
from overnight.store.errors import ConfigurationError, OvernightError
from overnight.store.local_files import try_lock

_TICK_SECONDS = 0.25
_FLUSH_SECONDS = 1.0
# After an unexpected error, such as a full disk or process table, which passes.
_ERROR_PAUSE_SECONDS = 5.0

logger = logging.getLogger(__name__)


class Supervisor:
    """The stack of one home: its services in the order of their start; they stop in reverse."""

    def __init__(
        self, home: Path, services: Sequence[Service], *, flushed: Path | None = None
    ) -> None:
        self._home = home
        self._services = services
        self._flushed = flushed
        self._runners: tuple[ServiceRunner, ...] = ()
        self._threads: list[threading.Thread] = []
        self._stopping = threading.Event()
        self._writing = threading.Lock()
        self._written: tuple[ServiceRecord, ...] = ()
        self._lock: BufferedRandom | None = None

    def start(self) -> None:
        """Take over what an earlier supervisor left, and start the rest.

        Raises:
            ConfigurationError: another supervisor runs in this home.
        """
        self._lock = _lock_home(self._home)
        before = state_file.read(self._home)
        self._runners = tuple(
            ServiceRunner(service, before=before.named(service.name)) for service in self._services
        )
        self._drop_unplanned(before)
        self._write()
        jobs = [self._every(partial(self._tick, runner), _TICK_SECONDS) for runner in self._runners]
        if self._flushed is not None:
            jobs.append(self._every(partial(_flush, self._flushed), _FLUSH_SECONDS))
        self._threads = [threading.Thread(target=job, daemon=True) for job in jobs]
        for thread in self._threads:
            thread.start()

    def stop(self) -> None:
        """Stop every service, the last one first."""
        self._stopping.set()
        for thread in self._threads:
            thread.join()
        self._write_if_possible()
        for runner in reversed(self._runners):
            # A server that is gone already needs no request of ours.
            with suppress(OvernightError):
                runner.service.before_stop()
            runner.stop()
            with suppress(OvernightError):
                runner.service.after_stop()
            self._write_if_possible()
        if self._lock is not None:
            self._lock.close()

    def _drop_unplanned(self, before: StackRecord) -> None:
        """End services of an earlier supervisor that are no longer part of the stack."""
        planned = {service.name for service in self._services}
        for service in before.services:
            if service.name not in planned and service.process is not None:
                processes.end(service.process, seconds=10)

    def _every(self, step: Callable[[], None], seconds: float) -> Callable[[], None]:
        """A loop that repeats a step until we stop; an error ends the step, never the loop."""

        def loop() -> None:
            while not self._stopping.wait(seconds):
                try:
                    step()
                except Exception:
                    logger.exception("a step of the supervisor failed; it is tried again")
                    self._stopping.wait(_ERROR_PAUSE_SECONDS)

        return loop

    def _tick(self, runner: ServiceRunner) -> None:
        runner.tick(self._is_ready)
        if runner.record not in self._written:
            self._write()

    def _is_ready(self, name: str) -> bool:
        """Whether a service is up; one that is not in the plan runs elsewhere and counts as up."""
        conditions = {runner.service.name: runner.record.condition for runner in self._runners}
        return conditions.get(name, "ready") in {"ready", "done"}

    def _write(self) -> None:
        with self._writing:
            shown = StackRecord(
                supervisor=processes.identify(os.getpid()),
                stopping=self._stopping.is_set(),
                services=tuple(runner.record for runner in self._runners),
            )
            state_file.write(self._home, shown)
            self._written = shown.services

    def _write_if_possible(self) -> None:
        """Write the state, unless the disk is full: that must not keep services from stopping."""
        with suppress(OSError):
            self._write()


def _flush(folder: Path) -> None:
    """Sync a folder to disk: SeaweedFS never does, so this bounds what a power cut can lose."""
    if folder.is_dir():
        subprocess.run(["sync", "-f", str(folder)], check=False)


def stop_orphans(home: Path, services: Sequence[Service]) -> None:
    """Stop the services that a dead supervisor left running, in order and with their hooks."""
    lock = _lock_home(home)
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


def _lock_home(home: Path) -> BufferedRandom:
    """Lock the home until the returned file is closed or this process ends.

    Raises:
        ConfigurationError: another supervisor holds it.
    """
    held = try_lock(home / "stack.lock")
    if held is None:
        raise ConfigurationError(
            f"another supervisor runs in {home}; `overnight status` shows its services, "
            "`overnight down` stops them"
        )
    return held
