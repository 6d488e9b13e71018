"""Store operations that pause just before their commit, or die before or after it."""

import re
import threading
from collections.abc import Callable
from typing import Literal

from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from tests.support.crashing_stores import ForwardingBucket, Killed

# An operation is committed as soon as it writes one of these.
_COMMITS = re.compile(
    r"manifest\.json|decision\.json|arrival\.json|withdrawn\.json"
    r"|(aliases|arrivals)/[^/]+/\d{8}\.json|replicas/[^/]+\.json"
)
# Others may take many steps meanwhile on a slow machine; the test's timeout is the real limit.
_SECONDS = 600
Fate = Literal["go on", "die before", "die after"]


class Gate:
    """Holds an operation at its first commit until it is released or killed."""

    def __init__(self) -> None:
        self.stopped = threading.Event()
        self._released = threading.Event()
        self._fate: Fate = "go on"
        self._open = False

    def pass_through(self, key: str) -> None:
        """Wait here, when this is the first commit of the operation."""
        if self._open or not _COMMITS.search(key):
            return
        self.stopped.set()
        assert self._released.wait(_SECONDS), f"nobody let the write of {key} through"
        if self._fate == "die before":
            raise Killed
        self._open = True

    def passed(self, key: str) -> None:
        """Die here, when the operation is to and this was its commit."""
        if self._fate == "die after" and _COMMITS.search(key):
            raise Killed

    def release(self, fate: Fate) -> None:
        """Let the operation go on, or die just before or just after its commit."""
        self._fate = fate
        self._released.set()


class GatedBucket(ForwardingBucket):
    """A client's bucket with a gate before its commits."""

    def __init__(self, bucket: Bucket, gate: Gate) -> None:
        super().__init__(bucket)
        self._gate = gate

    def create(self, key: str, body: bytes) -> None:
        self._gate.pass_through(key)
        super().create(key, body)
        self._gate.passed(key)


class Operation:
    """An operation in its own thread, paused at its commit; `outcome` is its result or error."""

    def __init__(self, bucket: Bucket, act: Callable[[Bucket], object]) -> None:
        self.outcome: object = None
        self._gate = Gate()
        self._done = threading.Event()
        gated = GatedBucket(bucket, self._gate)
        self._thread = threading.Thread(target=self._run, args=(act, gated), daemon=True)
        self._thread.start()
        while not (self._gate.stopped.wait(0.0005) or self._done.wait(0.0005)):
            continue

    @property
    def waits(self) -> bool:
        """Whether it is before its commit; else it ended without one."""
        return not self._done.is_set()

    def go_on(self) -> object:
        """Commit, and come to an end."""
        return self._end("go on")

    def die(self) -> None:
        """End where a process would that is killed just before its commit."""
        self._end("die before")

    def die_after(self) -> object:
        """Commit, and end where a process would that is killed then; `Killed`, if it committed."""
        return self._end("die after")

    def _end(self, fate: Fate) -> object:
        self._gate.release(fate)
        self._thread.join(_SECONDS)
        assert not self._thread.is_alive(), "an operation hangs"
        return self.outcome

    def _run(self, act: Callable[[Bucket], object], bucket: Bucket) -> None:
        try:
            self.outcome = act(bucket)
        except (OvernightError, Killed) as error:
            self.outcome = error
        except Exception as error:  # noqa: BLE001  what it is stands in the comparison
            self.outcome = error
        finally:
            self._done.set()
