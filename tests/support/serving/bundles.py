"""Tiny but real versions for tests, each answering recognisably otherwise."""

import io
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.digests import digest
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import (
    CodeLineage,
    DataLineage,
    EnvironmentLineage,
    Manifest,
    Measurement,
    RunLineage,
    TrainingLineage,
)
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.versions import entries
from overnight.store.schema import Schema, TensorSpec
from overnight.store.trust.signing import Signer
from tests.support.signing_keys import SIGNER, registry

_GOLDENS = Path(__file__).parents[2] / "goldens"
NETWORK = _GOLDENS / "tiny" / "predictor.tflite"
GREEDY = _GOLDENS / "greedy" / "predictor.tflite"
MARK = np.float32(0.123456).tobytes()
MODEL = "digits"
IMAGES = np.random.default_rng(3).integers(0, 256, (5, 28, 28), dtype=np.uint8)

TENSORS = Schema(
    inputs=(TensorSpec(name="image", datatype="UINT8", shape=(28, 28), minimum=0, maximum=255),),
    outputs=(
        TensorSpec(name="probabilities", datatype="FP32", shape=(10,)),
        TensorSpec(name="seen", datatype="UINT8", shape=(28, 28)),
    ),
    labels=tuple("0123456789"),
)


def network(number: int) -> bytes:
    """Version `number` is the surer of a zero the higher its number."""
    return NETWORK.read_bytes().replace(MARK, np.float32(0.25 * number).tobytes())


def probabilities(number: int, images: np.ndarray = IMAGES) -> np.ndarray:
    """What version `number` answers, from LiteRT itself."""
    from ai_edge_litert.interpreter import Interpreter

    ask = Interpreter(model_content=network(number), num_threads=1).get_signature_runner()
    return ask(image=images)["probabilities"]


def golden(number: int, *, images: np.ndarray = IMAGES) -> bytes:
    return archive(images, probabilities(number, images))


def archive(images: np.ndarray, answers: np.ndarray) -> bytes:
    """Golden examples that expect these answers."""
    body = io.BytesIO()
    np.savez(body, **{"input.image": images, "output.probabilities": answers})
    return body.getvalue()


def files(number: int) -> dict[str, bytes]:
    return {
        "predictor.tflite": network(number),
        "golden.npz": golden(number),
        "network.keras": b"not needed to serve",
    }


def greedy_files() -> dict[str, bytes]:
    """A version that is small as a file, and takes 160 MB once it is planned."""
    return {"predictor.tflite": GREEDY.read_bytes()}


def crashing_files(number: int) -> dict[str, bytes]:
    """A version whose loading ends the process by SIGSEGV: LiteRT follows an offset of zero."""
    body = bytearray(network(number))
    body[16:20] = bytes(4)
    return {"predictor.tflite": bytes(body)}


def version_name(number: int) -> str:
    at = datetime(2026, 11, 22, tzinfo=UTC) + timedelta(seconds=number)
    return f"{at:%Y%m%dT%H%M%S}-{number:012x}"


def manifest(number: int, bundle: dict[str, bytes], *, tensors: Schema = TENSORS) -> Manifest:
    return Manifest(
        model=MODEL,
        version=version_name(number),
        created_at=datetime(2026, 11, 22, 2, 0, tzinfo=UTC),
        fingerprint=f"{number:012x}".ljust(64, "0"),
        files=entries(bundle),
        tensors=tensors,
        data=DataLineage(
            dataset_version=1,
            digest=digest(b"rows"),
            rows=50_000 + number,
            arrivals=1,
            holdout_digest=digest(b"holdout"),
            holdout_rows=10_000,
        ),
        code=CodeLineage(commit="0" * 40, clean=True, digest=digest(b"code")),
        environment=EnvironmentLineage(
            python="3.11", platform="linux", lock_digest=digest(b"lock")
        ),
        training=TrainingLineage(settings={}, epochs=1, cpu_seconds=1, seconds=1),
        run=RunLineage(id="run", name="tiny"),
        measurements=(
            Measurement(metric="accuracy", value=0.995, n=10_000, low=0.993, high=0.997),
        ),
    )


def publish(
    bucket: Bucket,
    number: int,
    bundle: dict[str, bytes] | None = None,
    *,
    signer: Signer = SIGNER,
    approved: bool = True,
    tensors: Schema = TENSORS,
) -> str:
    """Publish version `number`, approve it unless told otherwise, and return its name."""
    bundle = files(number) if bundle is None else bundle
    made = manifest(number, bundle, tensors=tensors)
    ModelRegistry(bucket, "digits").publish(made, bundle, signer)
    if approved:
        approve(bucket, number)
    return version_name(number)


def approve(bucket: Bucket, number: int) -> None:
    """Approve version `number` as gates do, with a signature."""
    registry(bucket).decisions.decide(
        version_name(number), "approved", Actor("gates", "every gate holds")
    )


def publish_unsigned(bucket: Bucket, number: int, bundle: dict[str, bytes] | None = None) -> str:
    """Write a version as whoever has the store's credentials, but no key, can."""
    bundle = files(number) if bundle is None else bundle
    for name, body in bundle.items():
        bucket.create(keys.version_file(MODEL, version_name(number), name), body)
    made = manifest(number, bundle).encoded()
    bucket.create(keys.manifest(MODEL, version_name(number)), made)
    approve(bucket, number)
    return version_name(number)


def folder(place: Path, number: int, bundle: dict[str, bytes] | None = None) -> Path:
    """The bundle of version `number` as a folder."""
    place.mkdir(parents=True, exist_ok=True)
    bundle = files(number) if bundle is None else bundle
    for name, body in bundle.items():
        (place / name).write_bytes(body)
    (place / "manifest.json").write_bytes(manifest(number, bundle).encoded())
    return place
