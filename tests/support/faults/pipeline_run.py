"""A pipeline run without Prefect: the real steps in the flow's order, on digits of noise.

It runs in a process of its own, so that it can be killed.
"""

import importlib
import json
import os
import sys
import traceback
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

import overnight.tasks.data.admission
import overnight.tasks.data.ingest
import overnight.tasks.data.snapshot
import overnight.tasks.evaluation.evaluate
import overnight.tasks.evaluation.judge
import overnight.tasks.evaluation.published
import overnight.tasks.release.publish
import overnight.tasks.training.train
from overnight.models.data_gates.declaration import DataGates
from overnight.models.definition import Delivery, ModelDefinition, Places, Reading
from overnight.models.digits import DEFINITION as DIGITS
from overnight.models.digits import idx
from overnight.models.digits.files import read_files
from overnight.models.digits.rows import Digits, as_rows
from overnight.models.gates import AtLeast
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import RunLineage
from overnight.store.registry.promotions import Promotions
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.release.resume import PriorProgress, find_prior_run
from overnight.tasks.training import lineage
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, alias_log, registry

MODEL = bundles.MODEL
DELIVERED_ROWS = 30
DELIVERIES = 1
# One line for every fit that was ever started in a home.
FITS = "fits.log"


def digits(seed: int, n: int = DELIVERED_ROWS) -> Digits:
    """Images of noise, different ones for each seed."""
    chance = np.random.default_rng(seed)
    images = chance.integers(0, 256, (n, 28, 28), np.uint8)
    return Digits(images, chance.integers(0, 10, n).astype(np.int8))


def files_of(some: Digits) -> dict[str, bytes]:
    """The files in which they arrive."""
    return {
        "train-images-idx3-ubyte.gz": idx.compress(idx.encode(some.images)),
        "train-labels-idx1-ubyte.gz": idx.compress(idx.encode(some.labels.astype(np.uint8))),
    }


class FewDigits:
    """Delivers one small arrival and a holdout; further arrivals are landed by tests."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        for night in range(DELIVERIES):
            if (name := f"night-{night:04d}") not in delivered:
                return Delivery(name, files_of(digits(night + 1)))
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        return read_files(files)

    def holdout(self) -> pa.Table:
        rows = as_rows(digits(0, 120))
        return rows.append_column("position", pa.array(range(120), pa.int32()))


DEFINITION: ModelDefinition = replace(
    DIGITS,
    network="tests.support.networks.constant",
    open_source=FewDigits,
    gates=(AtLeast("accuracy", 0.0),),
    data_gates=DataGates(),
    perturbations={},
    reinstatement=None,
)


@dataclass(frozen=True)
class PipelineContext:
    """The store and home of a run, and the accuracy that its gate demands."""

    address: S3Address
    home: Path
    least_accuracy: float = 0.0

    @property
    def bucket(self) -> Bucket:
        return S3Bucket(self.address, read_seconds=5)

    def table(self, name: str) -> Dataset:
        return Dataset.on_s3(self.address, MODEL, name)


def run_pipeline(context: PipelineContext) -> str:
    """Ingest, train, judge, publish and promote; returns the outcome of the run."""
    bucket, rows, holdout = context.bucket, context.table("rows"), context.table("holdout")
    current = alias_log(bucket, MODEL).current()
    champion = current.version if current else None
    source = FewDigits(Places(folder=None, cache=context.home))
    overnight.tasks.data.ingest.ingest(source, bucket, rows, holdout, model=MODEL, take_next=True)
    snapshot = overnight.tasks.data.snapshot.snapshot(rows, holdout)
    code, environment = lineage.code(DEFINITION), lineage.environment()
    fingerprint = lineage.fingerprint(
        DEFINITION, DEFINITION.settings, snapshot.lineage, code, environment
    )
    prior = find_prior_run(ModelRegistry(bucket, MODEL), fingerprint, champion=champion, replicas=0)
    if prior.progress in {PriorProgress.SETTLED, PriorProgress.REFUSED}:
        return "UpToDate"
    version = prior.version
    if version is None:
        candidate, evaluation, verdict = _train(context, snapshot, fingerprint, champion)
        if not verdict.passed:
            findings = verdict.findings
            ModelRegistry(bucket, MODEL).refusals.refuse(
                fingerprint, findings, compared_with=champion
            )
            return "Refused"
        drafted = partial(overnight.tasks.release.publish.draft, DEFINITION, candidate)
        bundle = overnight.tasks.release.publish.bundle(candidate)
        manifest = overnight.tasks.release.publish.final_manifest(
            drafted(
                bundle,
                data=snapshot.lineage,
                code=code,
                environment=environment,
                run=RunLineage(id="run", name="a-run"),
            ),
            evaluation,
            verdict,
            override=None,
            approval="automatic",
        )
        files = {**bundle, "golden.npz": _golden(bundle), "report.html": b"<p>a report</p>"}
        version = overnight.tasks.release.publish.publish(
            bucket, manifest, files, candidate.folder, SIGNER
        )
    over = ModelRegistry(bucket, MODEL).manifest(version).compared_with
    registry(bucket, MODEL).decisions.decide(
        version, "approved", Actor("gates", "every gate holds")
    )
    Promotions(registry(bucket, MODEL)).promote(
        version, expected=over, actor=Actor("the run", "retrained")
    )
    return "Promoted"


def _golden(bundle: Mapping[str, bytes]) -> bytes:
    request = {"image": bundles.IMAGES}
    answered = overnight.tasks.evaluation.published.answers(bundle["predictor.tflite"], request)[
        "probabilities"
    ]
    return bundles.archive(bundles.IMAGES, np.asarray(answered))


def _train(
    context: PipelineContext,
    snapshot: overnight.tasks.data.snapshot.Snapshot,
    fingerprint: str,
    champion: str | None,
) -> tuple[
    overnight.tasks.training.train.Candidate, Evaluation, overnight.tasks.evaluation.judge.Verdict
]:
    """Train a candidate, evaluate and judge it."""
    bucket = context.bucket
    training = DEFINITION.examples(
        overnight.tasks.data.snapshot.read_rows(context.table("rows"), snapshot)
    )
    held_out = DEFINITION.examples(
        overnight.tasks.data.snapshot.read_holdout(context.table("holdout"))
    )
    candidate = overnight.tasks.training.train.train(
        DEFINITION,
        DEFINITION.settings,
        fingerprint=fingerprint,
        training=training,
        holdout=held_out,
        folder=context.home / "work" / fingerprint[:12],
        seconds=60,
        report=partial(_log_fit, context.home),
    )
    serving = None
    if champion is not None:
        known = ModelRegistry(bucket, MODEL).manifest(champion)
        predictor = ModelRegistry(bucket, known.model).read_file(known, "predictor.tflite")
        serving = overnight.tasks.evaluation.published.PublishedPredictor(
            champion, predictor, known.tensors
        )
    evaluation = overnight.tasks.evaluation.evaluate.evaluate(
        DEFINITION, candidate, serving, held_out
    )
    gates = (AtLeast("accuracy", context.least_accuracy),)
    return candidate, evaluation, overnight.tasks.evaluation.judge.judge(evaluation, gates)


def _log_fit(home: Path, _: PriorProgress) -> None:
    with (home / FITS).open("a") as log:
        log.write(f"{datetime.now(UTC)}\n")


def main() -> None:
    """For each line of standard input fork a process for one run; print its id, then its outcome.

    Forking shares the imports, which take seconds, and each run can still be killed alone.
    """
    # Imported lazily in every run, so the parent imports them once.
    importlib.import_module("boto3")
    overnight.tasks.data.admission.check_columns_of(
        as_rows(digits(0)), DEFINITION.data_gates, "to warm up"
    )
    for line in sys.stdin:
        request = json.loads(line)
        begun, ended = os.pipe()
        child = os.fork()
        if child == 0:
            address, home = S3Address(**request["address"]), Path(request["home"])
            _run_in_fork(PipelineContext(address, home, request["least_accuracy"]), ended)
        os.close(ended)
        print(json.dumps(child), flush=True)
        with os.fdopen(begun) as pipe:
            outcome = pipe.read()
        _, status = os.waitpid(child, 0)
        print(
            json.dumps({"code": os.waitstatus_to_exitcode(status), "outcome": outcome}), flush=True
        )


def _run_in_fork(context: PipelineContext, ended: int) -> None:
    """Run the pipeline in this forked process, report its outcome and exit."""
    try:
        outcome = run_pipeline(context)
    except OvernightError as error:
        outcome = f"{type(error).__name__}: {error}"
    except BaseException:  # noqa: BLE001  a forked child must not go on as its parent would
        traceback.print_exc()
        os._exit(1)
    os.write(ended, outcome.encode())
    os._exit(0)


if __name__ == "__main__":
    main()
