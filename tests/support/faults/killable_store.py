"""An S3 server that can be killed, restarted, and given a full disk."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.tally import TALLY
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.waiting import until


class Store:
    """SeaweedFS over a socket. What it acknowledged must be there whatever is done to it."""

    def __init__(self, endpoint: str, folder: Path) -> None:
        self.endpoint, self._folder = endpoint, folder
        self._log = folder / "again.log"
        port = f"-s3.port={endpoint.rpartition(':')[2]}"
        (self._process,) = [
            child for child in psutil.Process().children() if port in _arguments(child)
        ]
        self._command = self._process.cmdline()
        self._again: list[subprocess.Popen[bytes]] = []

    def address(self, bucket: str) -> S3Address:
        made = S3Address(self.endpoint, bucket, ACCESS, SECRET)
        S3Bucket(made).ensure()
        return made

    def kill(self) -> None:
        """End it as a power cut does."""
        self._process.kill()
        self._process.wait()
        TALLY.inject("the store was killed")

    def start(self) -> None:
        """Start it again on the same folder, as a supervisor does, until it takes writes."""
        self._launch()
        until(self._takes_writes, what=f"the store takes writes again ({self._log})")

    @contextmanager
    def full_disk(self) -> Iterator[None]:
        """The kernel lets the server write not one byte more into any file."""
        unlimited = psutil.RLIM_INFINITY
        self._process.rlimit(psutil.RLIMIT_FSIZE, (0, unlimited))
        TALLY.inject("the store's disk was full")
        try:
            yield
        finally:
            self._process.rlimit(psutil.RLIMIT_FSIZE, (unlimited, unlimited))

    def end(self) -> None:
        for process in self._again:
            process.kill()
            process.wait()

    def _launch(self) -> None:
        with self._log.open("ab") as log:
            process = subprocess.Popen(self._command, cwd=self._folder, stdout=log, stderr=log)
        self._again.append(process)
        self._process = psutil.Process(process.pid)

    def _takes_writes(self) -> bool:
        if self._again[-1].poll() is not None:
            self._launch()
        bucket = S3Bucket(S3Address(self.endpoint, "ready", ACCESS, SECRET), tries=1)
        try:
            bucket.ensure()
            bucket.create("probe/again", b"again")
        except OvernightError:
            return False
        return True


def _arguments(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.Error:
        return []


@contextmanager
def storing(folder: Path) -> Iterator[Store]:
    """Run a store that nobody else uses."""
    with seaweed(folder) as endpoint:
        store = Store(endpoint, folder)
        try:
            yield store
        finally:
            store.end()
