"""Claim: a whole run costs at most 5 % more CPU than a plain script that does the same work.

    python -m benchmarks.training.whole_flow [--epochs N]

Both are separate processes on the 50,000 genuine digits of the first arrival: the retrain flow with
a real Prefect server and a real S3 server, and a script without Prefect, bucket, dataset or data
gates that reads the digits, trains, evaluates, draws, rehearses, evaluates the gates and writes the
bundle into a folder. CPU seconds are those of the process and its children. Two fits of the same
seed differ by more than the effect, so the CPU time of the fit, which it reports, is counted once
for both. The CPU time of the two servers is reported separately.
"""

import argparse
import os
import resource
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))

from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.signing_keys import write_keys

ROOT = Path(__file__).parents[2]
GOAL = 1.05
BUCKET = "whole-flow"
FLOW = """
import sys
from overnight.flows.run.context import ModelContext
from overnight.flows.retrain import retrain
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.outcomes import read
override = {"override_gates": True, "requested_by": "ann", "reason": "few epochs are enough here"}
epochs = int(sys.argv[1])
ended = retrain(epochs=epochs or None, return_state=True, **(override if epochs else {}))
registry = ModelRegistry(ModelContext.open("digits").bucket, "digits")
version = registry.versions()[-1]
print(read(ended.name, ended.message).outcome, registry.manifest(version).training.cpu_seconds)
"""
SCRIPT = """
import sys
from dataclasses import replace
from pathlib import Path
from overnight.models.definition import Places
from overnight import models
from overnight.tasks.evaluation import evaluate, judge, rehearse
from overnight.tasks.release import publish
from overnight.tasks.training import train
from tests.support.examples import manifest
home, folder, epochs = Path(sys.argv[2]), Path(sys.argv[3]) if sys.argv[3] else None, sys.argv[1]
definition = models.find("digits")
settings = definition.settings
if int(epochs):
    settings = settings.model_copy(update={"epochs": int(epochs)})
source = definition.open_source(Places(folder=folder, cache=home / "sources"))
training = definition.examples(source.read(source.deliver(()).files).rows)
holdout = definition.examples(source.holdout())
candidate = train.train(
    definition, settings, fingerprint="0" * 64, training=training, holdout=holdout,
    folder=home / "work", seconds=7200, report=lambda _: None,
)
evaluation = evaluate.evaluate(definition, candidate, None, holdout)
pictures = evaluate.draw(definition, candidate, holdout, candidate.folder)
files = publish.bundle(candidate)
rehearsed = rehearse.rehearse(
    manifest(files).model_copy(update={"tensors": definition.tensors}), files, holdout=holdout,
    expected=evaluate.predictions(candidate), folder=candidate.folder, seconds=600,
)
verdict = judge.judge(replace(evaluation, rehearsal=rehearsed.rehearsal), definition.gates)
(home / "bundle").mkdir()
files |= {"golden.npz": rehearsed.golden, "verdict.txt": str(verdict).encode()}
for name, body in files.items():
    (home / "bundle" / name).write_bytes(body)
print("passed" if verdict.passed else "refused", candidate.fitted.cpu_seconds)
"""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--epochs", type=int, default=0, help="default: the model's own setting")
    options = parser.parse_args()
    digits = os.environ.get("OVERNIGHT_SOURCE_FOLDERS__DIGITS", "")
    with tempfile.TemporaryDirectory() as place, ExitStack() as servers:
        folder = Path(place)
        (folder / "script").mkdir()
        arguments = [str(options.epochs), str(folder / "script"), digits]
        script = measured("the script", SCRIPT, arguments, os.environ)
        (folder / "s3").mkdir()
        endpoint = servers.enter_context(seaweed(folder / "s3"))
        environment = settings(folder / "home", endpoint, digits)
        write_keys(folder / "home")
        S3Bucket(S3Address(endpoint, BUCKET, ACCESS, SECRET)).ensure()
        environment["PREFECT_API_URL"] = servers.enter_context(prefect())
        before = servers_cpu_seconds()
        flow = measured("the flow", FLOW, [str(options.epochs)], environment)
        seconds = servers_cpu_seconds() - before
    fit = script[1]
    print(f"\nthe fit alone                {fit:8.1f} CPU s")
    print(f"the script around it         {script[0] - script[1]:8.1f}")
    print(f"the flow around it           {flow[0] - flow[1]:8.1f}")
    print(f"the two servers meanwhile    {seconds:8.1f}")
    ratio = (fit + flow[0] - flow[1]) / script[0]
    print(f"\nthe flow over the script     {ratio:8.3f}   goal {GOAL}")
    print(f"with the servers             {ratio + seconds / script[0]:8.3f}")


def measured(
    title: str, program: str, arguments: list[str], environment: Mapping[str, str]
) -> tuple[float, float]:
    """CPU seconds of a whole process with its children, and of the fit in it."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=ROOT, env=dict(environment), stdout=subprocess.PIPE, text=True, check=True,
    )  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    ended, fit = done.stdout.split()[-2:]
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{title}: {ended}, {spent:.1f} CPU s", file=sys.stderr)
    return spent, float(fit)


def settings(home: Path, endpoint: str, digits: str) -> dict[str, str]:
    """The environment of the flow: this bucket, and no replica to wait for."""
    given = {
        "HOME": str(home), "S3_ENDPOINT": endpoint, "S3_BUCKET": BUCKET,
        "S3_ACCESS_KEY": ACCESS, "S3_SECRET_KEY": SECRET, "REPLICAS": "0", "OVERRIDERS": "ann",
    }  # fmt: skip
    if digits:
        given["SOURCE_FOLDERS__DIGITS"] = digits
    inherited = {k: v for k, v in os.environ.items() if not k.startswith("OVERNIGHT_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return inherited | {f"OVERNIGHT_{name}": value for name, value in given.items()}


@contextmanager
def prefect() -> Iterator[str]:
    """The address of a Prefect server that lives as long as the measurement."""
    # Late: it reads the environment when it is imported.
    from prefect.settings import PREFECT_API_URL
    from prefect.testing.utilities import prefect_test_harness

    with prefect_test_harness(server_startup_timeout=180):
        yield PREFECT_API_URL.value()


def servers_cpu_seconds() -> float:
    """CPU seconds of the servers that this process runs, so far."""
    children = psutil.Process().children(recursive=True)
    spent = [child.cpu_times() for child in children]
    return sum(usage.user + usage.system for usage in spent)


if __name__ == "__main__":
    main()
