"""Publish a candidate: draft its manifest, add the verdict, and make the version visible."""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Literal

from overnight.models.definition import ModelDefinition
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.local_files import write_atomically
from overnight.store.objects.bucket import Bucket
from overnight.store.registry import versions
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    EnvironmentLineage,
    Exported,
    Finding,
    Manifest,
    Override,
    Rehearsed,
    RunLineage,
    TrainingLineage,
)
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.training.train import EXPORTED, Candidate

_NETWORK_FILES = ("network.keras", "predictor.tflite")


def bundle(candidate: Candidate) -> dict[str, bytes]:
    """The network files of a candidate; golden examples and the report are added later."""
    return {name: candidate.read(name) for name in _NETWORK_FILES}


def draft(
    definition: ModelDefinition,
    candidate: Candidate,
    files: Mapping[str, bytes],
    *,
    data: DataLineage,
    code: CodeLineage,
    environment: EnvironmentLineage,
    run: RunLineage,
    data_findings: tuple[Finding, ...] = (),
) -> Manifest:
    """The manifest before evaluation: what the version was made from, and its tensors."""
    fitted = candidate.fitted
    return Manifest(
        model=definition.name,
        version=candidate.version,
        created_at=fitted.created_at,
        fingerprint=candidate.fingerprint,
        files=versions.entries(files),
        tensors=definition.tensors,
        data=data,
        code=code,
        environment=environment,
        training=TrainingLineage(
            settings=fitted.settings.model_dump(),
            epochs=len(fitted.history),
            cpu_seconds=fitted.cpu_seconds,
            seconds=fitted.seconds,
            continued_from=fitted.continued_from,
        ),
        run=run,
        data_findings=data_findings,
        exported=_exported(candidate),
    )


def final_manifest(
    draft: Manifest,
    evaluation: Evaluation,
    verdict: Verdict,
    *,
    override: Override | None,
    approval: Literal["automatic", "manual"],
) -> Manifest:
    """The draft with the measurements, the findings of the gates, and how it is approved."""
    return draft.model_copy(
        update={
            "measurements": evaluation.measurements,
            "findings": verdict.findings,
            "compared_with": evaluation.champion,
            "override": override,
            "approval": approval,
            "rehearsed": _rehearsal(evaluation),
        }
    )


def _rehearsal(evaluation: Evaluation) -> Rehearsed | None:
    rehearsal = evaluation.rehearsal
    return Rehearsed.model_validate(asdict(rehearsal)) if rehearsal is not None else None


def _exported(candidate: Candidate) -> Exported | None:
    """The measurements by which the export chose int8 or float; None if it made no choice."""
    if EXPORTED not in candidate.fitted.files:
        return None
    return Exported.model_validate_json(candidate.read(EXPORTED))


def publish(
    bucket: Bucket,
    manifest: Manifest,
    files: Mapping[str, bytes],
    folder: Path,
    signer: Signer,
) -> str:
    """Write the bundle, its signature and the manifest, in this order; returns the version.

    The manifest makes the version visible, so a run that is killed before leaves no half version.
    Objects are written once and never replaced: everything is staged in `folder` first, so that a
    second attempt writes the same bytes. Only the manifest, which is not in the store yet, is made
    anew if the champion, the requester or the key changed in between.
    """
    manifest = manifest.model_copy(update={"signed_by": signer.key_id})
    staged = folder / "publish"
    staged_manifest = staged / "manifest.json"
    # Written after the files: if it is there, they are complete.
    if not staged_manifest.exists():
        staged.mkdir(exist_ok=True)
        for name, body in files.items():
            (staged / name).write_bytes(body)
        drafted = manifest.model_copy(update={"files": versions.entries(files)})
        write_atomically(staged_manifest, drafted.encoded())
    final = Manifest.model_validate_json(staged_manifest.read_bytes())
    if _run_specific(final) != _run_specific(manifest):
        # Staged by an earlier attempt: its files stay, its circumstances changed.
        final = manifest.model_copy(update={"files": final.files})
        write_atomically(staged_manifest, final.encoded())
    bodies = {name: (staged / name).read_bytes() for name in final.files}
    ModelRegistry(bucket, final.model).publish(final, bodies, signer)
    return final.version


def _run_specific(manifest: Manifest) -> tuple[object, ...]:
    """The fields of a manifest that depend on the attempt, and not on the candidate."""
    override, run = manifest.override, manifest.run
    overridden = (override.by, override.reason) if override else None
    requested = (run.forced, run.by, run.reason, run.authenticated)
    return (manifest.compared_with, manifest.approval, overridden, requested, manifest.signed_by)
