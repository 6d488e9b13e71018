"""A complete manifest and the values in it."""

from collections.abc import Mapping
from datetime import UTC, datetime

from overnight.store.objects.keys import new_version
from overnight.store.registry import versions
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    EnvironmentLineage,
    Manifest,
    RunLineage,
    TrainingLineage,
)
from overnight.store.schema import Schema, TensorSpec

AT = datetime(2026, 11, 22, 2, 0, 0, tzinfo=UTC)
FINGERPRINT = "0123456789abcdef" * 4
VERSION = new_version(FINGERPRINT, AT)
FILES: Mapping[str, bytes] = {"golden.npz": b"golden", "predictor.tflite": b"predictor"}
TENSORS = Schema(
    inputs=(TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=0, maximum=255),),
    outputs=(TensorSpec(name="probabilities", datatype="FP32", shape=(10,)),),
    labels=tuple("0123456789"),
)


def manifest(
    files: Mapping[str, bytes] = FILES, *, version: str = VERSION, model: str = "digits"
) -> Manifest:
    """A manifest that lists `files`."""
    return Manifest(
        model=model,
        version=version,
        created_at=AT,
        fingerprint=FINGERPRINT,
        files=versions.entries(files),
        tensors=TENSORS,
        data=DataLineage(
            dataset_version=1,
            digest="d" * 64,
            rows=50_000,
            arrivals=1,
            holdout_digest="e" * 64,
            holdout_rows=10_000,
        ),
        code=CodeLineage(commit="", clean=True, digest="c" * 64),
        environment=EnvironmentLineage(python="3.11.7", platform="here", lock_digest="b" * 64),
        training=TrainingLineage(settings={"seed": 1}, epochs=1, cpu_seconds=1, seconds=1),
        run=RunLineage(id="run", name="a-run"),
    )
