"""Nights as processes that can be killed at any of their writes, and what must hold at any time."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from store import landing, versions
from store.aliases import AliasLog
from store.decisions import is_approved
from store.s3 import S3Address, S3Bucket
from tests.faults.night import FITS, MODEL, House
from tests.faults.proxy import FaultProxy
from tests.faults.tally import TALLY
from tests.signing import TRUST

ROOT = Path(__file__).parents[2]


@dataclass(frozen=True)
class Ended:
    """How a night ended: by itself, saying something, or by a signal."""

    code: int
    said: str

    @property
    def killed(self) -> bool:
        return self.code == -signal.SIGKILL


class Lane:
    """Where one night runs at a time, with a fault proxy between it and the store."""

    def __init__(self, process: "subprocess.Popen[str]", proxy: FaultProxy) -> None:
        self._process, self.proxy = process, proxy
        self._child = 0
        self._is_known = threading.Event()

    def night(self, house: House, *, write: int = 0, before: bool = True) -> Ended:
        """Run a night of a house; with `write`, kill it just before or just after that write."""
        proxied = replace(house.address, endpoint=self.proxy.endpoint)
        asked = {"address": asdict(proxied), "home": str(house.home)}
        self._is_known.clear()
        self.proxy.crash_at(write, before=before, kill=self._kill)
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(asked) + "\n")
        self._process.stdin.flush()
        self._child = int(self._told())
        self._is_known.set()
        return Ended(**json.loads(self._told()))

    def _told(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline()

    def _kill(self) -> None:
        # A night may write before we have read whose process it is.
        assert self._is_known.wait(60), "a night wrote and never said who it is"
        os.kill(self._child, signal.SIGKILL)


@contextmanager
def lane(endpoint: str, log: Path) -> Iterator[Lane]:
    """Start what runs nights."""
    environment = {
        name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"
    }
    with log.open("wb") as errors, FaultProxy(endpoint) as proxy:
        process = subprocess.Popen(
            [sys.executable, "-m", "tests.faults.night"],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            start_new_session=True,
        )
        try:
            yield Lane(process, proxy)
            process.communicate(timeout=60)
        finally:
            # Whatever is left of a night that hangs.
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def copied(source: S3Bucket, address: S3Address) -> None:
    """Another bucket with everything that one has."""
    bucket = S3Bucket(address)
    bucket.ensure()
    for top in ("datasets", "landing", "models"):
        for key in source.keys_below(top):
            bucket.create(key, source.read(key))


def check_at_any_time(house: House, before: list[str], where: str) -> list[str]:
    """Nothing half is visible, no row is there twice; the champions so far, which only grow."""
    bucket = S3Bucket(house.address)
    for version in versions.list_versions(bucket, MODEL):
        manifest = versions.trusted_manifest(bucket, MODEL, version, TRUST)
        for name in manifest.files:
            versions.read_file(bucket, manifest, name)
    history = AliasLog(bucket, MODEL).history()
    champions = [record.version for record in history]
    TALLY.holds(champions[: len(before)] == before, f"a record of the champion {where}")
    assert [record.sequence for record in history] == list(range(1, len(history) + 1)), where
    for version in champions:
        TALLY.holds(is_approved(bucket, MODEL, version), f"an approval {where}")
    rows = house.table("rows")
    if rows.version() is not None:
        digests = Counter(rows.read(columns=["digest"]).column("digest").to_pylist())
        assert not [one for one, n in digests.items() if n > 1], f"rows counted twice {where}"
    return champions


def check_at_the_end(house: House, champions: list[str], *, rows: int, where: str) -> None:
    """All that arrived is in, once; one more version serves, and it was trained once."""
    bucket = S3Bucket(house.address)
    found = house.table("rows").read(columns=["digest", "arrival"])
    TALLY.holds(found.num_rows == rows, f"rows of an arrival {where}")
    assert landing.pending(bucket, MODEL) == [], where
    now = check_at_any_time(house, champions, where)
    assert len(now) == len(champions) + 1, where
    assert versions.list_versions(bucket, MODEL) == sorted(now), where
    manifest = versions.read_manifest(bucket, MODEL, now[-1])
    assert manifest.data.rows == rows, where
    fits = (house.home / FITS).read_text().splitlines()
    assert len(fits) == len(now), f"trained {len(fits)} times for {len(now)} versions {where}"
