"""Publish a candidate: draft its manifest, add the verdict, and make the version visible."""

from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from overnight.models.definition import ModelDefinition
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.errors import AlreadyExists, CorruptVersion, NotFound, TooLarge
from overnight.store.local_files import write_atomically
from overnight.store.novelty import NoveltyRule
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.registry import versions
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    EnvironmentLineage,
    Exported,
    Finding,
    LogPolicy,
    Manifest,
    Override,
    Rehearsed,
    RunLineage,
    TrainingLineage,
)
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.signing import Signer
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.training.train import EXPORTED, FITTED, NOVELTY, Candidate

_NETWORK_FILES = ("network.keras", "predictor.tflite")
_MANIFEST = "manifest.json"


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
            as_it_is=fitted.as_it_is,
        ),
        run=run,
        data_findings=data_findings,
        exported=_exported(candidate),
        logged=log_policy(definition),
        novelty=_novelty(candidate),
    )


def log_policy(definition: ModelDefinition) -> LogPolicy | None:
    """What serving is to record of the answers of a version, as its model declares; or nothing."""
    log, feedback = definition.watching.log, definition.watching.feedback
    if log is None:
        return None
    return LogPolicy(
        share=log.share,
        inputs=log.inputs,
        clients=log.clients,
        feedback=feedback is not None,
        labels_per_client_daily=feedback.labels_per_client_daily if feedback else 0,
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


def _novelty(candidate: Candidate) -> NoveltyRule | None:
    """When an input counts as unlike the training rows; None if the model does not declare it."""
    if NOVELTY not in candidate.fitted.files:
        return None
    return NoveltyRule.model_validate_json(candidate.read(NOVELTY))


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

    Raises:
        AlreadyExists: the store has other bytes of this version. If it was never complete, its fit
            is discarded, so that the next run publishes under another name.
    """
    manifest = manifest.model_copy(update={"signed_by": signer.key_id})
    registry, staged = ModelRegistry(bucket, manifest.model), folder / "publish"
    earlier = _staged(staged, manifest, files, bucket)
    if earlier is None:
        final, bodies = manifest.model_copy(update={"files": versions.entries(files)}), dict(files)
        # Last: if it is there, the files are complete.
        (staged / _MANIFEST).unlink(missing_ok=True)
        for name, body in bodies.items():
            write_atomically(staged / name, body)
        write_atomically(staged / _MANIFEST, final.encoded())
    else:
        final, bodies = earlier
    if _run_specific(final) != _run_specific(manifest):
        # Staged by an earlier attempt: its files stay, its circumstances changed.
        final = manifest.model_copy(update={"files": final.files})
        write_atomically(staged / _MANIFEST, final.encoded())
    try:
        registry.publish(final, bodies, signer)
    except AlreadyExists:
        if final.version not in registry.versions():
            (folder / FITTED).unlink(missing_ok=True)
        raise
    return final.version


def _staged(
    staged: Path, manifest: Manifest, files: Mapping[str, bytes], bucket: Bucket
) -> tuple[Manifest, dict[str, bytes]] | None:
    """What an earlier attempt staged for this version; None if anything of it is lost for good.

    A power cut or a damaged disk may have cut a staged file: then the candidate, or what the
    earlier attempt uploaded, has the same bytes.
    """
    try:
        earlier = Manifest.model_validate_json((staged / _MANIFEST).read_bytes())
    except (FileNotFoundError, ValidationError):
        return None
    # One that differs is of an earlier fit of this fingerprint, which was lost.
    if earlier.version != manifest.version:
        return None
    bodies: dict[str, bytes] = {}
    for name, entry in earlier.files.items():
        key = keys.version_file(earlier.model, earlier.version, name)
        for read in (
            partial((staged / name).read_bytes),
            partial(files.__getitem__, name),
            partial(bucket.read, key, entry.size_bytes),
        ):
            with suppress(OSError, KeyError, NotFound, TooLarge, CorruptVersion):
                body = read()
                versions.verify(earlier, name, body)
                bodies[name] = body
                break
    return (earlier, bodies) if bodies.keys() == earlier.files.keys() else None


def _run_specific(manifest: Manifest) -> tuple[object, ...]:
    """The fields of a manifest that depend on the attempt, and not on the candidate."""
    override, run = manifest.override, manifest.run
    overridden = (override.by, override.reason) if override else None
    requested = (run.forced, run.by, run.reason, run.authenticated)
    return (manifest.compared_with, manifest.approval, overridden, requested, manifest.signed_by)
