"""Waits for the services of the stack, for as long as any of them gets further."""

import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path

import psutil
from rich.console import Console

from overnight.infra.stack import processes, state_file
from overnight.infra.stack.state_file import ServiceRecord, StackRecord
from overnight.tasks.errors import StepFailed

_GIVE_UP_AFTER_RESTARTS = 4
_POLL_SECONDS = 0.3
_SAMPLE_SECONDS = 10.0
# Of one core. A server that is up and only waits uses a few hundredths.
_WORKING_SHARE = 0.1

Cpu = Callable[[Sequence[ServiceRecord]], float]


class Movement:
    """Whether services get further: their records change, or those that start are at work.

    A fixed limit would stop a slow machine in the middle of its start.
    """

    def __init__(self, *, seconds: float, cpu: Cpu, now: float) -> None:
        """`cpu` says how many seconds of CPU the processes of some services have used."""
        self._seconds, self._cpu = seconds, cpu
        self._records: tuple[ServiceRecord, ...] = ()
        self._moved_at = self._sampled_at = now
        self._used = 0.0

    def check(self, stack: StackRecord, now: float) -> bool:
        """Check the services; whether a record has changed since the last check."""
        waiting = unready(stack)
        changed = stack.services != self._records
        if changed:
            self._records, self._moved_at = stack.services, now
            self._sampled_at, self._used = now, self._cpu(waiting)
        elif now - self._sampled_at >= _SAMPLE_SECONDS:
            used = self._cpu(waiting)
            if used - self._used >= _WORKING_SHARE * (now - self._sampled_at):
                self._moved_at = now
            self._sampled_at, self._used = now, used
        return changed

    def idle_seconds(self, now: float) -> float:
        """How long nothing has moved."""
        return now - self._moved_at

    def has_stalled(self, now: float) -> bool:
        """Whether nothing has moved for so long that nothing is expected to."""
        return self.idle_seconds(now) > self._seconds


def await_services(home: Path, console: Console, *, seconds: float) -> None:
    """Show services as they start, until all are ready.

    Raises:
        StepFailed: one of them does not start, or none has got further for `seconds`.
    """
    began = time.monotonic()
    movement = Movement(seconds=seconds, cpu=_cpu_seconds, now=began)
    with console.status("starting") as status:
        while not (stack := state_file.read(home)).ready:
            now = time.monotonic()
            waiting = unready(stack)
            _check_restarts(waiting)
            if not stack.supervised:
                raise StepFailed(f"the supervisor is gone; see {home / 'logs' / 'supervisor.log'}")
            changed = movement.check(stack, now)
            if movement.has_stalled(now):
                limit = f"for {seconds:.0f} s (OVERNIGHT_UP_SECONDS)"
                raise StepFailed(f"nothing has moved {limit}: {_shown(waiting)}")
            line = ", ".join(f"{s.title}: {s.condition}" for s in waiting) or "starting"
            idle = movement.idle_seconds(now)
            still = f", nothing has moved for {idle:.0f} s" if idle > 2 * _SAMPLE_SECONDS else ""
            status.update(f"{line} ({now - began:.0f} s{still})")
            if changed and not console.is_terminal:
                console.print(f"{now - began:4.0f} s  {line}")
            time.sleep(_POLL_SECONDS)


def unready(stack: StackRecord) -> list[ServiceRecord]:
    """The services that are not up yet."""
    return [service for service in stack.services if service.condition not in {"ready", "done"}]


def _check_restarts(waiting: Sequence[ServiceRecord]) -> None:
    for service in waiting:
        if service.restarts >= _GIVE_UP_AFTER_RESTARTS:
            raise StepFailed(f"{service.title} does not start: {service.message}")


def _shown(services: Sequence[ServiceRecord]) -> str:
    return "; ".join(f"{s.title} is {s.condition} {s.message} (see {s.log})" for s in services)


def _cpu_seconds(services: Sequence[ServiceRecord]) -> float:
    """How much CPU the processes of some services have used, those that ended among them."""
    total = 0.0
    for service in services:
        if service.process is not None:
            for process in processes.session_of(service.process):
                with suppress(psutil.Error):
                    total += sum(process.cpu_times()[:4])
    return total
