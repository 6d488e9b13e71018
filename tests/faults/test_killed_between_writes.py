"""A run is killed just before each write that matters, and goes on when it is run again."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from flows.ingest import ingest
from store import versions
from store.aliases import AliasLog
from store.s3 import S3Address
from tasks.train import FITTED, Fitted
from tests.faults.tripwire import Tripwire
from tests.world import World

pytestmark = [pytest.mark.servers, pytest.mark.timeout(900)]

# In the order in which a run writes them.
WRITES = (
    "predictor.tflite",
    "report.html",
    "manifest.json",
    "decision.json",
    "aliases/champion/00000001.json",
)
RUN = """
from flows.retrain import retrain
few = {"overrule_gates": True, "by": "ann", "reason": "few digits will do for a test"}
print(retrain(epochs=1, take_in=False, return_state=True, **few).name)
"""


@pytest.fixture
def tripwire(s3_endpoint: str) -> Iterator[Tripwire]:
    wire = Tripwire(urlsplit(s3_endpoint).port or 0)
    yield wire
    wire.close()


@pytest.fixture
def environment(
    world: World, prefect_server: str, tripwire: Tripwire, s3_address: S3Address
) -> Mapping[str, str]:
    return {
        **os.environ,
        "PREFECT_API_URL": prefect_server,
        "OVERNIGHT_S3_ENDPOINT": f"http://127.0.0.1:{tripwire.port}",
    }


def run(environment: Mapping[str, str]) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-c", RUN], env=environment, stdout=subprocess.PIPE, text=True
    )


def fitted(home: Path) -> Fitted:
    (found,) = (home / "work" / "digits").glob(f"*/{FITTED}")
    return Fitted.model_validate_json(found.read_text())


def test_whatever_write_a_run_dies_at_the_next_run_finishes_the_same_version(
    world: World, tripwire: Tripwire, environment: Mapping[str, str]
) -> None:
    world.arrive("few", 0, 1_200)
    ingest(return_state=True)
    trained: set[str] = set()

    for write in WRITES:
        process = run(environment)
        tripwire.stretch(write, lambda process=process: os.kill(process.pid, signal.SIGKILL))
        process.communicate(timeout=400)
        assert process.returncode == -signal.SIGKILL, write
        assert tripwire.tripped.wait(10)

        visible = versions.list_versions(world.bucket, "digits")
        assert len(visible) == (1 if WRITES.index(write) > WRITES.index("manifest.json") else 0)
        for version in visible:
            manifest = versions.read_manifest(world.bucket, "digits", version)
            for name in manifest.files:
                versions.read_file(world.bucket, manifest, name)
        assert AliasLog(world.bucket, "digits").current() is None
        trained.add(fitted(world.home).model_dump_json())

    process = run(environment)
    told, _ = process.communicate(timeout=400)

    assert told.split()[-1] == "Promoted"
    (version,) = versions.list_versions(world.bucket, "digits")
    (once,) = trained
    manifest = versions.read_manifest(world.bucket, "digits", version)
    assert manifest.created_at == Fitted.model_validate_json(once).created_at
    assert [record.version for record in AliasLog(world.bucket, "digits").history()] == [version]
    assert manifest.data.rows == 1_200
