"""A flow run is killed just before each of its writes; the next run finishes the version.

The writes are discovered on the way: each run is killed at one that no run reached before.
"""

import os
import random
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from overnight.flows.ingest import ingest
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.training.train import FITTED, FittedRun
from tests.support.faults.tally import TALLY
from tests.support.faults.write_trap import Tripwire
from tests.support.flow_environment import FlowEnvironment
from tests.support.signing_keys import alias_log

pytestmark = [pytest.mark.servers, pytest.mark.timeout(1_800)]

# What others see is killed at in any case, of the rest some by chance, or all.
COMMITS = ("/manifest.json", "/decision.json", "/champion/00000001.json")
_SHARE = 0.1
_FEWEST = 8
# The network needs no training: what is killed here is the flow.
RUN = """
from dataclasses import replace
from overnight.models import digits
digits.DEFINITION = replace(digits.DEFINITION, network="tests.support.networks.constant")
from overnight.flows.retrain import retrain
few = {"override_gates": True, "requested_by": "ann", "reason": "few digits will do for a test"}
from overnight.tasks.outcomes import read
state = retrain(epochs=1, ingest_first=False, return_state=True, **few)
print(read(state.name, state.message).outcome)
"""


@dataclass
class Deaths:
    """At which writes runs die: at each once at most, in the order in which they are come to."""

    chance: random.Random
    share: float
    seen: list[str] = field(default_factory=list)
    died_at: list[str] = field(default_factory=list)

    def here(self, write: str) -> bool:
        if write in self.seen:
            return False
        self.seen.append(write)
        dies = write.endswith(COMMITS) or self.chance.random() < self.share
        self.died_at += [write] * dies
        return dies

    def came_to(self, end: str) -> bool:
        """Whether a run died at a write that comes after one of this end."""
        ends = [number for number, write in enumerate(self.seen) if write.endswith(end)]
        return bool(ends) and self.seen.index(self.died_at[-1]) > ends[0]


@pytest.fixture
def tripwire(s3_endpoint: str) -> Iterator[Tripwire]:
    wire = Tripwire(urlsplit(s3_endpoint).port or 0)
    yield wire
    wire.close()


@pytest.fixture
def environment(
    flow_environment: FlowEnvironment,
    prefect_server: str,
    tripwire: Tripwire,
    s3_address: S3Address,
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


def fitted(home: Path) -> set[str]:
    """What was ever trained: at most one fit."""
    return {found.read_text() for found in (home / "work" / "digits").glob(f"*/{FITTED}")}


def check(flow_environment: FlowEnvironment, deaths: Deaths) -> None:
    """Nothing half is visible, and no champion that nobody promoted."""
    where = f"of a flow killed at {deaths.died_at[-1]}"
    with TALLY.keeps(f"a whole version {where}"):
        visible = ModelRegistry(flow_environment.bucket, "digits").versions()
        assert len(visible) == int(deaths.came_to("manifest.json"))
        for version in visible:
            manifest = ModelRegistry(flow_environment.bucket, "digits").manifest(version)
            for name in manifest.files:
                ModelRegistry(flow_environment.bucket, manifest.model).read_file(manifest, name)
    with TALLY.keeps(f"a record of the champion {where}"):
        promoted = alias_log(flow_environment.bucket, "digits").history()
        assert len(promoted) == int(deaths.came_to("champion/00000001.json"))


def test_after_a_kill_at_any_write_the_next_flow_run_finishes_the_same_version(
    flow_environment: FlowEnvironment,
    tripwire: Tripwire,
    environment: Mapping[str, str],
    seed_of: Callable[[str], str],
    thorough: bool,
) -> None:
    # Ingest is killed at every write in `test_pipeline_killed_at_every_write`.
    flow_environment.land_digits("few", 0, 1_200)
    ingest(return_state=True)
    deaths = Deaths(random.Random(seed_of("deaths")), share=1.0 if thorough else _SHARE)
    trained: set[str] = set()

    while True:
        process = run(environment)
        tripwire.stretch(deaths.here, lambda process=process: process.send_signal(signal.SIGKILL))
        reported, _ = process.communicate(timeout=400)
        trained |= fitted(flow_environment.home)
        if process.returncode == 0:
            break
        assert process.returncode == -signal.SIGKILL, reported
        assert tripwire.tripped.wait(10)
        check(flow_environment, deaths)

    # Then the last run ends well, and all of them together trained once.
    over = deaths.came_to("champion/00000001.json")
    assert reported.split()[-1] == ("UpToDate" if over else "Promoted")
    assert len(deaths.seen) > _FEWEST
    assert len(deaths.died_at) >= (len(deaths.seen) if thorough else len(COMMITS))
    (version,) = ModelRegistry(flow_environment.bucket, "digits").versions()
    (once,) = trained
    manifest = ModelRegistry(flow_environment.bucket, "digits").manifest(version)
    assert manifest.created_at == FittedRun.model_validate_json(once).created_at
    assert [
        record.version for record in alias_log(flow_environment.bucket, "digits").history()
    ] == [version]
    assert manifest.data.rows == 1_200
    TALLY.versions(1)
