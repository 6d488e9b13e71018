"""What becomes of a candidate's figures: an auditor finds them in the manifest."""

from datetime import UTC, datetime
from typing import Literal

import pytest

from overnight import models
from overnight.models.definition import TrainingSettings
from overnight.models.metrics.evaluation import Evaluation, Rehearsal
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import Exported, Finding, Manifest, Override, RunLineage
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import entries
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.release.publish import bundle, draft, final_manifest, publish
from overnight.tasks.training.train import EXPORTED, Candidate, FittedRun
from tests.support import examples
from tests.support.crashing_stores import Killed, KillingBucket
from tests.support.signing_keys import SIGNER

REHEARSAL = Rehearsal(
    n=10_000,
    largest_difference=0.017,
    changed_answers=3,
    p50_ms=0.9,
    p99_ms=2.5,
    resident_mb=101.0,
    size_mb=0.4,
    row_ms=0.9,
    row_ms_in_eight=0.2,
)
RUN = RunLineage(id="run", name="a-run", by="the schedule")
FORCED = RunLineage(id="another", name="b-run", by="ann", forced=True, reason="a short fit")
INT8 = Exported(weights="int8", agreement=0.9997, rows=10_000, sufficient=0.999)


def candidate(folder, *more: str) -> Candidate:
    names = ["network.keras", "predictor.tflite", *more]
    for name in names:
        body = INT8.model_dump_json() if name == EXPORTED else name
        (folder / name).write_text(body)
    settings = TrainingSettings(
        epochs=1, batch_rows=1, learning_rate=1, seed=1, validation_share=0.1, patience_epochs=1
    )
    fitted = FittedRun(
        created_at=datetime(2026, 11, 22, tzinfo=UTC),
        settings=settings,
        history=(),
        files=dict.fromkeys(names, ""),
        training_rows=9,
        validation_rows=1,
        cpu_seconds=1,
        seconds=1,
    )
    return Candidate("digits", examples.VERSION, examples.FINGERPRINT, folder, fitted)


def drafted(item: Candidate) -> Manifest:
    known = examples.manifest()
    return draft(
        models.find("digits"),
        item,
        bundle(item),
        data=known.data,
        code=known.code,
        environment=known.environment,
        run=known.run,
    )


def test_the_exported_form_is_recorded_with_its_measurements(tmp_path):
    item = candidate(tmp_path, EXPORTED)

    manifest = drafted(item)

    assert manifest.exported == INT8
    assert manifest.files.keys() == entries(bundle(item)).keys()


def test_a_network_without_an_export_record_is_published(tmp_path):
    assert drafted(candidate(tmp_path)).exported is None


@pytest.mark.parametrize("rehearsal", [REHEARSAL, None])
def test_the_measurements_of_the_rehearsal_are_recorded(tmp_path, rehearsal):
    evaluation = Evaluation(measurements=(), rehearsal=rehearsal)

    manifest = final_manifest(
        drafted(candidate(tmp_path)), evaluation, Verdict(()), override=None, approval="automatic"
    )

    reported = Manifest.model_validate_json(manifest.encoded()).rehearsed
    if rehearsal is None:
        assert reported is None
    else:
        assert reported is not None
        assert (reported.changed_answers, reported.row_ms, reported.row_ms_in_eight) == (
            3,
            0.9,
            0.2,
        )


def attempt(
    item: Candidate,
    bucket: Bucket,
    number: int,
    *,
    champion: str | None = "v1",
    approval: Literal["automatic", "manual"] = "automatic",
    override: Override | None = None,
    run: RunLineage = RUN,
) -> None:
    """Publish with as many findings as this attempt's number, and a report that names it."""
    finding = Finding(gate="AtLeast", metric="accuracy", passed=True, message="m")
    manifest = final_manifest(
        drafted(item).model_copy(update={"run": run}),
        Evaluation(measurements=(), champion=champion),
        Verdict((finding,) * number),
        override=override,
        approval=approval,
    )
    files = {**bundle(item), "report.html": f"report {number}".encode()}
    publish(bucket, manifest, files, item.folder, SIGNER)


@pytest.mark.parametrize(
    ("later", "reported"),
    [
        ({}, ("v1", "automatic", 1)),
        ({"champion": "v2"}, ("v2", "automatic", 2)),
        ({"champion": None}, (None, "automatic", 2)),
        ({"approval": "manual"}, ("v1", "manual", 2)),
        ({"override": Override(by="ann", reason="so", at=examples.AT)}, ("v1", "automatic", 2)),
        ({"run": RUN.model_copy(update={"id": "again"})}, ("v1", "automatic", 1)),
        ({"run": FORCED}, ("v1", "automatic", 2)),
    ],
)
def test_a_second_attempt_writes_the_same_files_and_its_own_manifest(tmp_path, later, reported):
    item = candidate(tmp_path)
    bucket = MemoryBucket()
    with pytest.raises(Killed):
        attempt(item, KillingBucket(bucket, 1), 1)

    attempt(item, bucket, 2, **later)

    made = ModelRegistry(bucket, "digits").manifest(item.version)
    assert ModelRegistry(bucket, made.model).read_file(made, "report.html") == b"report 1"
    assert (made.compared_with, made.approval, len(made.findings)) == reported
    assert made.override == later.get("override")
    assert made.run == (FORCED if later.get("run") == FORCED else RUN)
