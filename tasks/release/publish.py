"""Publish what passed: draft the manifest, fill in the verdict, and make the version visible."""

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
    """The files a candidate brings; golden examples and the report join them later."""
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
    """The manifest as far as it is known before the gates have spoken."""
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
    """The draft with what was measured, what the gates said, and who is to decide."""
    return draft.model_copy(
        update={
            "measurements": evaluation.measurements,
            "findings": verdict.findings,
            "compared_with": evaluation.champion,
            "override": override,
            "approval": approval,
            "rehearsed": _rehearsed(evaluation),
        }
    )


def _rehearsed(evaluation: Evaluation) -> Rehearsed | None:
    found = evaluation.rehearsal
    return Rehearsed.model_validate(asdict(found)) if found is not None else None


def _exported(candidate: Candidate) -> Exported | None:
    """What decided the form in which it is served; a network need not say."""
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
    """Write the bundle, its signature, the manifest last; who died in between finishes the same.

    What is about to be written is kept in `folder` first, because a second attempt must write the
    very same bytes under the very same names. Only the manifest is made anew when the world moved
    on in between: it is in no store yet, and has to tell what is true of this attempt.
    """
    manifest = manifest.model_copy(update={"signed_by": signer.key_id})
    staged = folder / "publish"
    kept = staged / "manifest.json"
    if not kept.exists():
        staged.mkdir(exist_ok=True)
        for name, body in files.items():
            (staged / name).write_bytes(body)
        drafted = manifest.model_copy(update={"files": versions.entries(files)})
        write_atomically(kept, drafted.encoded())
    final = Manifest.model_validate_json(kept.read_bytes())
    if _circumstances(final) != _circumstances(manifest):
        final = manifest.model_copy(update={"files": final.files})
        write_atomically(kept, final.encoded())
    bodies = {name: (staged / name).read_bytes() for name in final.files}
    ModelRegistry(bucket, final.model).publish(final, bodies, signer)
    return final.version


def _circumstances(manifest: Manifest) -> tuple[object, ...]:
    """What a run found and was told, apart from the candidate and from the moment of it."""
    word, run = manifest.override, manifest.run
    overruled = (word.by, word.reason) if word else None
    asked = (run.forced, run.by, run.reason, run.proved)
    return (manifest.compared_with, manifest.approval, overruled, asked, manifest.signed_by)
