"""Claim: a run with nothing to do costs about twice the CPU time of `dvc repro` without changes.

    python -m benchmarks.training.nothing_to_do [ROUNDS]

Claim of `overnight retrain --if-changed`: whole processes from the shell, in CPU seconds, compared
with `dvc repro` on a pipeline of three stages (prepare, train, evaluate) whose files have
not changed. The flow is measured separately, from its call to its end in a running process,
as a worker of Prefect runs it. Rounds are interleaved. DVC gets its own environment, installed
by uv from a pinned file; ours queries a real S3 server whose dataset holds the same 50,000 digits.
"""

import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.training.whole_flow import prefect
from tests.support.s3_server import ACCESS, SECRET, seaweed

ROOT = Path(__file__).parents[2]
ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 5
NOTHING_TO_DO = 4
PACKED_BYTES = 10_000_000
PINNED = Path(__file__).with_name("dvc.txt")
PIPELINE = """stages:
  prepare: {cmd: cp raw.npz rows.npz, deps: [raw.npz, prepare.py], outs: [rows.npz]}
  train: {cmd: cp rows.npz network.npz, deps: [rows.npz, train.py], outs: [network.npz]}
  evaluate:
    {cmd: cp evaluate.py metrics.json, deps: [network.npz, evaluate.py], outs: [metrics.json]}
"""
# A dataset of one arrival, and a champion that was trained on it.
SETTLE = """
from datetime import UTC, datetime
from overnight.flows.run.context import ModelContext
from overnight.store.objects.keys import new_version
from overnight.store.registry.actor import Actor
from overnight.tasks.training import lineage
from overnight.tasks.data.ingest import ingest
from overnight.tasks.data.snapshot import snapshot
from tests.support.examples import FILES, manifest
from tests.support.signing_keys import SIGNER
context = ModelContext.open("digits")
context.bucket.ensure()
source, rows, holdout = context.source, context.rows, context.holdout
ingest(source, context.bucket, rows, holdout, model="digits", take_next=True)
data = snapshot(context.rows, context.holdout).lineage
code, environment = lineage.code(context.definition), lineage.environment()
settings = context.definition.settings
fingerprint = lineage.fingerprint(context.definition, settings, data, code, environment)
version = new_version(fingerprint, datetime.now(UTC))
fields = {"fingerprint": fingerprint, "data": data, "code": code, "environment": environment}
fields["tensors"] = context.definition.tensors
registry = context.registry
registry.publish(manifest(version=version).model_copy(update=fields), FILES, SIGNER)
registry.decisions.decide(version, "approved", Actor("b", "b"))
registry.champion.append(version, expected=None, actor=Actor("b", "b"))
"""

FLOW = """
import time
from overnight.flows.retrain import retrain
from overnight.tasks.outcomes import read
began = time.process_time()
ended = retrain(ingest_first=False, return_state=True)
print(read(ended.name, ended.message).outcome, time.process_time() - began)
"""


def main() -> None:
    # Without stored bytecode a process compiles its imports each time, at three times the cost.
    os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
    with tempfile.TemporaryDirectory() as place, prefect() as address:
        folder = Path(place)
        dvc, pipeline = dvc_in(ROOT / ".venv" / "peers" / "dvc"), folder / "pipeline"
        data = os.environ.get("OVERNIGHT_SOURCE_FOLDERS__DIGITS")
        (folder / "s3").mkdir()
        with seaweed(folder / "s3") as endpoint:
            environment = ours(folder / "home", endpoint, data)
            run([sys.executable, "-c", SETTLE], ROOT, environment)
            prepare(pipeline, dvc)
            table = measure(
                {
                    "overnight retrain --if-changed": (
                        [sys.executable, "-m", "overnight.cli.main", "retrain", "digits",
                         "--if-changed", "--no-ingest-first"],
                        ROOT, environment, NOTHING_TO_DO,
                    ),
                    "dvc repro": ([str(dvc), "repro", "--quiet"], pipeline, os.environ, 0),
                }
            )  # fmt: skip
            flow = statistics.median(in_flow(environment | {"PREFECT_API_URL": address}))
    for name, (cpu, wall) in table.items():
        print(f"{name:32}{cpu:8.2f} CPU s{wall:8.2f} s")
    mine, theirs = (cpu for cpu, _ in table.values())
    print(f"ours to theirs: {mine / theirs:.2f}  ({datetime.now(UTC):%Y-%m-%d}, {ROUNDS} rounds)")
    print(f"{'the flow, its process up':32}{flow:8.2f} CPU s")
    print(f"the flow to theirs: {flow / theirs:.2f}")


def in_flow(environment: Mapping[str, str]) -> Iterator[float]:
    """CPU seconds of the flow alone, each time in a process that has just started."""
    for _ in range(ROUNDS):
        command = [sys.executable, "-c", FLOW]
        output = subprocess.run(
            command, cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True
        ).stdout.split()
        if output[-2] != "UpToDate":
            raise SystemExit(f"the flow ended with {output[-2]}")
        yield float(output[-1])


def measure(
    commands: Mapping[str, tuple[list[str], Path, Mapping[str, str], int]],
) -> dict[str, tuple[float, float]]:
    """Median CPU and wall seconds of each whole process, in turns; the first turn warms up."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in commands}
    for turn in range(ROUNDS + 1):
        for name, (command, folder, environment, expected) in commands.items():
            spent = run(command, folder, environment, expected)
            if turn:
                measured[name].append(spent)
    return {
        name: (statistics.median(c for c, _ in rounds), statistics.median(w for _, w in rounds))
        for name, rounds in measured.items()
    }


def run(
    command: list[str], folder: Path, environment: Mapping[str, str], expected: int = 0
) -> tuple[float, float]:
    """CPU and wall seconds of one whole process, its children included."""
    before, began = resource.getrusage(resource.RUSAGE_CHILDREN), time.monotonic()
    done = subprocess.run(
        command, cwd=folder, env=dict(environment), capture_output=True, text=True, check=False
    )
    wall, after = time.monotonic() - began, resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode != expected:
        raise SystemExit(f"{command} ended with {done.returncode}: {done.stdout}{done.stderr}")
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, wall


def ours(home: Path, endpoint: str, data: str | None) -> dict[str, str]:
    settings = {
        "HOME": str(home),
        "S3_ENDPOINT": endpoint,
        "S3_BUCKET": "nothing-to-do",
        "S3_ACCESS_KEY": ACCESS,
        "S3_SECRET_KEY": SECRET,
        "REPLICAS": "0",
    } | ({"SOURCE_FOLDERS__DIGITS": data} if data else {})
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OVERNIGHT_")}
    return inherited | {f"OVERNIGHT_{name}": value for name, value in settings.items()}


def dvc_in(place: Path) -> Path:
    """DVC's command, in an environment that is fields once."""
    command = place / "bin" / "dvc"
    if not command.exists():
        uv = Path(sys.executable).with_name("uv")
        run([str(uv), "venv", "--quiet", "--python", sys.executable, str(place)], ROOT, os.environ)
        run(
            [str(uv), "pip", "install", "--quiet", "--python", str(place), "-r", str(PINNED)],
            ROOT,
            os.environ,
        )
    return command


def prepare(pipeline: Path, dvc: Path) -> None:
    """A pipeline of three stages that has run, on as many bytes as the arrival's digits are."""
    pipeline.mkdir()
    (pipeline / "raw.npz").write_bytes(os.urandom(PACKED_BYTES))
    for name in ("prepare", "train", "evaluate"):
        (pipeline / f"{name}.py").write_text(f"print('{name}')\n")
    (pipeline / "dvc.yaml").write_text(PIPELINE)
    for arguments in (["init", "--no-scm", "--quiet"], ["repro", "--quiet"]):
        run([str(dvc), *arguments], pipeline, os.environ)


if __name__ == "__main__":
    main()
