"""Runner of one service: starts it after its dependencies, and restarts it when it dies."""

import logging
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

_MAXIMUM_BACKOFF_SECONDS = 30.0
# A service that stayed up for so long is restarted with the shortest back-off again.
_STABLE_SECONDS = 60.0
_CHECK_READY_EVERY_SECONDS = 5.0
# The shell that starts the stack may have credentials of other stores. SeaweedFS would accept them
# for everything, and no service of ours needs them: each is given its own. Nor may settings of
# another SeaweedFS (`WEED_JWT_…`) replace those of the store's own file.
_NOT_INHERITED = ("AWS_", "WEED_")
# No credential, but the CA certificates by which a private store is verified.
_CERTIFICATES = "AWS_CA_BUNDLE"

logger = logging.getLogger(__name__)


class ServiceRunner:
    """State machine of one service and its process.

    `tick()` holds all the logic; the supervisor calls it in a loop, from one thread.
    """

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
            grpc_address=service.grpc_address,
            log=str(service.log),
        )
        if before is not None and before.process is not None:
            self._take_over(before)

    def tick(self, ready: Callable[[str], bool]) -> None:
        """Advance by one step: start, check or restart; `ready` says whether a dependency is up."""
        now = time.time()
        if self.record.condition == "done":
            return
        if self.record.process is None:
            if now >= self._not_before and all(map(ready, self.service.after)):
                self._start()
        elif not self._is_alive():
            self._handle_exit(self.record.process, now)
        elif self.record.condition != "ready" or now - self._asked_at > _CHECK_READY_EVERY_SECONDS:
            self._check(self.record.process, now)

    def stop(self) -> None:
        """Terminate the process, and kill it when it does not end within `stop_seconds`."""
        if self.record.process is not None:
            processes.end(self.record.process, seconds=self.service.stop_seconds)
            if self._child is not None:
                self._child.wait()
        self._update(condition="stopped", process=None)

    def _take_over(self, before: ServiceRecord) -> None:
        """Take over the process of an earlier supervisor, or end it when its settings differ."""
        assert before.process is not None
        same = before.fingerprint == self.service.fingerprint
        if same and processes.is_alive(before.process):
            self._update(condition="starting", process=before.process, message="taken over")
        else:
            processes.end(before.process, seconds=self.service.stop_seconds)

    def _start(self) -> None:
        try:
            for listening in self.service.listens:
                check_free(listening)
            self.service.before_start()
            self._child = self._spawn()
        # A full disk or process table passes: it is retried with exponential back-off.
        except (OvernightError, OSError) as error:
            self._fail(str(error))
            return
        started = processes.identify(self._child.pid)
        self._update(condition="starting", process=started, message="")

    def _spawn(self) -> subprocess.Popen[bytes]:
        self.service.log.parent.mkdir(parents=True, exist_ok=True)
        self.service.log.touch(mode=0o600)
        with self.service.log.open("ab") as log:
            return subprocess.Popen(
                self.service.command,
                cwd=self.service.folder,
                env={**_inherited_environment(), **self.service.environment},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                # What services write is for this user only: SeaweedFS and Prefect's database would
                # otherwise be readable by others.
                umask=0o077,
            )

    def _is_alive(self) -> bool:
        if self._child is not None:
            return self._child.poll() is None
        return processes.is_alive(self.record.process)

    def _handle_exit(self, process: ProcessId, now: float) -> None:
        # Its orphaned children would hold its ports.
        processes.kill(processes.session_of(process))
        code = self._child.returncode if self._child is not None else None
        self._child = None
        if self.service.once and code == 0:
            self._update(condition="done", process=None, message="")
            return
        if now - process.created > _STABLE_SECONDS:
            self._update(restarts=0)
        ended = f"ended with exit code {code}" if code is not None else "ended"
        logger.warning("%s (process %d) %s", self.service.name, process.pid, ended)
        self._fail(f"{ended}; see {self.service.log}")

    def _fail(self, message: str) -> None:
        self._not_before = time.time() + _backoff_seconds(self.record.restarts)
        restarts = self.record.restarts + 1
        self._update(condition="failing", process=None, restarts=restarts, message=message)

    def _check(self, process: ProcessId, now: float) -> None:
        self._asked_at = now
        if self.service.once:
            return
        if self.service.ready(process.created) and self._prepare():
            self._well_at = now
            self._update(condition="ready", message="")
        elif self.record.condition == "ready" and now - self._well_at > self.service.hung_seconds:
            self._end_if_hung(process, now)

    def _end_if_hung(self, process: ProcessId, now: float) -> None:
        # A machine under load answers late, and a restart would only add to the load.
        if self.service.responds():
            self._well_at = now
            return
        silent = f"no health check succeeded for {now - self._well_at:.0f} s"
        logger.error("%s is restarted: %s", self.service.name, silent)
        processes.end(process, seconds=self.service.stop_seconds)

    def _prepare(self) -> bool:
        if not self._prepared:
            try:
                self.service.prepare()
            except OvernightError as error:
                self._update(message=str(error))
                return False
            self._prepared = True
        return True

    def _update(self, **changes: object) -> None:
        self.record = self.record.model_copy(update=changes)


def _backoff_seconds(restarts: int) -> float:
    """How long to wait after so many restarts; a service may fail for weeks."""
    # The exponent is bounded, too: from 2**1024 on a float overflows.
    return min(0.5 * float(2 ** min(restarts, 16)), _MAXIMUM_BACKOFF_SECONDS)


def _inherited_environment() -> dict[str, str]:
    """The supervisor's environment without credentials of other stores."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_NOT_INHERITED) or name == _CERTIFICATES
    }
