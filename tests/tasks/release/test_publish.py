"""What becomes of a candidate's figures: an auditor finds them in the manifest."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Literal

import pytest

from overnight import models
from overnight.models.definition import TrainingSettings
from overnight.models.metrics.evaluation import Evaluation, Rehearsal
from overnight.models.watching import Feedback, PredictionLog, Watching
from overnight.store.errors import AlreadyExists
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.manifest import (
    Exported,
    Finding,
    LogPolicy,
    Manifest,
    Override,
    RunLineage,
)
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import entries
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.release.publish import bundle, draft, final_manifest, log_policy, publish
from overnight.tasks.training.train import EXPORTED, FITTED, Candidate, FittedRun
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


def test_what_serving_is_to_record_is_in_the_manifest_as_the_model_declares():
    definition = models.find("digits")
    log = PredictionLog(share=0.25, inputs="digest", clients="none")
    declared = {
        "log and labels": Watching(log=log, feedback=Feedback(labels_per_client_daily=7)),
        "log alone": Watching(log=log, feedback=None),
        "neither": Watching(log=None),
    }

    policies = {
        name: log_policy(replace(definition, watching=each)) for name, each in declared.items()
    }

    same = {"share": 0.25, "inputs": "digest", "clients": "none"}
    assert policies == {
        "log and labels": LogPolicy(**same, feedback=True, labels_per_client_daily=7),
        "log alone": LogPolicy(**same, feedback=False),
        "neither": None,
    }


def test_a_manifest_carries_the_policy_of_its_log(tmp_path):
    manifest = drafted(candidate(tmp_path))

    assert manifest.logged == log_policy(models.find("digits"))
    assert Manifest.model_validate_json(manifest.encoded()).logged == manifest.logged


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


def damage_file(staged):
    (staged / "report.html").write_bytes(b"rep")


def damage_all_files(staged):
    for path in staged.iterdir():
        if path.name != "manifest.json":
            path.unlink()


def damage_manifest(staged):
    (staged / "manifest.json").write_bytes(b"{")


@pytest.mark.parametrize(
    ("damage", "stored", "published"),
    [
        # What was uploaded or is in the candidate is taken from there, and else all is staged anew.
        (damage_file, 0, b"report 2"),
        (damage_file, 3, b"report 1"),
        (damage_all_files, 3, b"report 1"),
        (damage_manifest, 2, b"report 2"),
    ],
)
def test_what_a_power_cut_truncated_on_the_local_disk_is_made_again(
    tmp_path, damage, stored, published
):
    item = candidate(tmp_path)
    bucket = MemoryBucket()
    with pytest.raises(Killed):
        attempt(item, KillingBucket(bucket, stored), 1)
    damage(tmp_path / "publish")

    attempt(item, bucket, 2)

    made = ModelRegistry(bucket, "digits").manifest(item.version)
    assert ModelRegistry(bucket, "digits").read_file(made, "report.html") == published


def test_a_half_version_that_can_no_longer_be_finished_is_left_for_one_of_another_name(tmp_path):
    # given an upload that is lost on the local disk, and cannot be made again
    item = candidate(tmp_path)
    (tmp_path / FITTED).touch()
    bucket = MemoryBucket()
    with pytest.raises(Killed):
        attempt(item, KillingBucket(bucket, 3), 1)
    damage_manifest(tmp_path / "publish")

    # when it is published again, then that fails, and the next run fits again
    with pytest.raises(AlreadyExists, match=r"report\.html"):
        attempt(item, bucket, 2)
    assert not (tmp_path / FITTED).exists()

    # and the files that were staged for the lost fit are not those of the new one
    again = replace(item, version="20261123T020000-0123456789ab")
    attempt(again, bucket, 3)
    made = ModelRegistry(bucket, "digits").manifest(again.version)
    assert ModelRegistry(bucket, "digits").read_file(made, "report.html") == b"report 3"
