"""Keeps one service alive: started when what it needs is ready, and again whenever it dies."""

import os
import subprocess
import time
from collections.abc import Callable

from overnight.infra.stack import processes
from overnight.infra.stack.ports import check_free
from overnight.infra.stack.processes import ProcessId
from overnight.infra.stack.service import Service
from overnight.infra.stack.state_file import ServiceRecord
from overnight.store.errors import OvernightError

_LONGEST_WAIT_SECONDS = 30.0
# A service that stayed up for so long starts with a short wait again when it dies.
_CALM_SECONDS = 60.0
_ASK_READY_EVERY_SECONDS = 5.0
# Whoever starts the stack may have credentials of other stores. SeaweedFS would let them do
# anything, and no service of ours needs them: each is told its own.
_NOT_INHERITED = "AWS_"
# No credential: the certificates by which a store of one's own is known.
_WHOM_TO_TRUST = "AWS_CA_BUNDLE"


class Keeper:
    """One service and its process. `look()` holds all the logic; somebody calls it in a loop."""

    def __init__(self, service: Service, *, before: ServiceRecord | None = None) -> None:
        self.service = service
        self._child: subprocess.Popen[bytes] | None = None
        self._prepared = False
        self._not_before = 0.0
        self._asked_at = 0.0
        self._well_at = 0.0
        self.record = ServiceRecord(
            name=service.name,
            title=service.title,
            fingerprint=service.fingerprint,
            address=service.address,
            log=str(service.log),
        )
        if before is not None and before.process is not None:
            self._inherit(before)

    def look(self, ready: Callable[[str], bool]) -> None:
        """Bring the service one step nearer to ready; `ready` tells it of the others."""
        now = time.time()
        if self.record.condition == "done":
            return
        if self.record.process is None:
            if now >= self._not_before and all(map(ready, self.service.after)):
                self._start()
        elif not self._is_alive():
            self._died(self.record.process, now)
        elif self.record.condition != "ready" or now - self._asked_at > _ASK_READY_EVERY_SECONDS:
            self._ask(self.record.process, now)

    def stop(self) -> None:
        """Ask the process to stop, and kill it when it does not in its time."""
        if self.record.process is not None:
            processes.end(self.record.process, seconds=self.service.stop_seconds)
            if self._child is not None:
                self._child.wait()
        self._say(condition="stopped", process=None)

    def _inherit(self, before: ServiceRecord) -> None:
        """Take over what an earlier supervisor left running, or clear it away."""
        assert before.process is not None
        same = before.fingerprint == self.service.fingerprint
        if same and processes.is_alive(before.process):
            self._say(condition="starting", process=before.process, message="taken over")
        else:
            processes.end(before.process, seconds=self.service.stop_seconds)

    def _start(self) -> None:
        try:
            for listening in self.service.listens:
                check_free(listening)
            self.service.before_start()
            self._child = self._spawn()
        # A full disk or process table passes: it is tried again, less and less often.
        except (OvernightError, OSError) as error:
            self._fail(str(error))
            return
        started = processes.identify(self._child.pid)
        self._say(condition="starting", process=started, message="")

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.service.log.parent.mkdir(parents=True, exist_ok=True)
        with self.service.log.open("ab") as log:
            return subprocess.Popen(
                self.service.command,
                cwd=self.service.folder,
                env={**_inherited(), **self.service.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def _is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return processes.is_alive(self.record.process)

    def _died(self, process: ProcessId, now: float) -> None:
        # What it left behind in its session would hold its ports.
        processes.kill(processes.session_of(process))
        code = self._child.returncode if self._child is not None else None
        self._child = None
        if self.service.once and code == 0:
            self._say(condition="done", process=None, message="")
            return
        if now - process.created > _CALM_SECONDS:
            self._say(restarts=0)
        ended = f"ended with exit code {code}" if code is not None else "ended"
        self._fail(f"{ended}; see {self.service.log}")

    def _fail(self, message: str) -> None:
        wait = min(0.5 * 2**self.record.restarts, _LONGEST_WAIT_SECONDS)
        self._not_before = time.time() + wait
        restarts = self.record.restarts + 1
        self._say(condition="failing", process=None, restarts=restarts, message=message)

    def _ask(self, process: ProcessId, now: float) -> None:
        self._asked_at = now
        if self.service.once:
            return
        if self.service.ready(process.created) and self._prepare():
            self._well_at = now
            self._say(condition="ready", message="")
        elif self.record.condition == "ready" and now - self._well_at > self.service.hung_seconds:
            processes.end(process, seconds=self.service.stop_seconds)

    def _prepare(self) -> bool:
        if not self._prepared:
            try:
                self.service.prepare()
            except OvernightError as error:
                self._say(message=str(error))
                return False
            self._prepared = True
        return True

    def _say(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)


def _inherited() -> dict[str, str]:
    """The environment of the supervisor, less what no child may have of it."""
    return {
        name: one
        for name, one in os.environ.items()
        if not name.startswith(_NOT_INHERITED) or name == _WHOM_TO_TRUST
    }
