"""A tiny but real forecast: what a shop sells of a kind of goods on a day."""

import io
from collections.abc import Mapping
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from overnight.store.objects.bucket import Bucket
from overnight.store.registry.manifest import Manifest, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import Forecast, Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER

MODEL = "demand"
NETWORK = Path(__file__).parents[2] / "goldens" / "forecast" / "predictor.tflite"
DAYS = 28
SHOPS = ("other", "north", "south", "4711")
KINDS = ("other", "bread", "milk")
EPOCH = date(1970, 1, 1)
FIRST, LAST = date(2026, 1, 1), date(2026, 12, 31)
QUANTILES = (0.1, 0.5, 0.9)


def days(day: date) -> int:
    """Days since 1970-01-01."""
    return (day - EPOCH).days


TENSORS = Schema(
    inputs=(
        TensorSpec(name="shop", datatype="INT32", shape=(), vocabulary=SHOPS, otherwise="other"),
        TensorSpec(name="kind", datatype="INT32", shape=(), vocabulary=KINDS, otherwise="other"),
        TensorSpec(
            name="day", datatype="INT32", shape=(), date=True, minimum=days(FIRST),
            maximum=days(LAST), description="the day asked for",
        ),
        TensorSpec(name="lead", datatype="INT32", shape=(), minimum=1, maximum=7),
        TensorSpec(
            name="sold", datatype="FP32", shape=(DAYS,), minimum=-1_000, maximum=1_000,
            description="pieces sold on each day until then",
        ),
    ),
    outputs=(
        TensorSpec(name="units", datatype="FP32", shape=(len(QUANTILES),), minimum=0),
        TensorSpec(name="known", datatype="UINT8", shape=(2,), minimum=0, maximum=1),
    ),
    forecast=Forecast(history="sold", lead="lead", day="day", quantiles=QUANTILES),
)  # fmt: skip
Rows = Mapping[str, np.ndarray]


def rows(n: int = 20, *, seed: int = 1) -> dict[str, np.ndarray]:
    """Rows of every shop and kind, as training has them: encoded."""
    random = np.random.default_rng(seed)
    week = 60 + 25 * np.sin(np.arange(DAYS) * 2 * np.pi / 7)
    return {
        "shop": (np.arange(n) % len(SHOPS)).astype(np.int32),
        "kind": (np.arange(n) // 2 % len(KINDS)).astype(np.int32),
        "day": (days(date(2026, 11, 20)) + np.arange(n) % 9).astype(np.int32),
        "lead": (1 + np.arange(n) % 7).astype(np.int32),
        "sold": np.round(week + random.normal(0, 8, (n, DAYS))).astype(np.float32),
    }


def expected(requested: Rows) -> dict[str, np.ndarray]:
    """What the network answers, by its own formula, in numpy."""
    week = requested["sold"][:, -7:].mean(axis=1)
    saturday = np.where(requested["day"] % 7 == 2, 100, 0)
    middle = (
        week * (1 + requested["shop"] / 10) + 10 * requested["kind"] + saturday + requested["lead"]
    )
    known = np.stack([requested["shop"] > 0, requested["kind"] > 0], axis=1)
    units = np.stack([0.8 * middle, middle, 1.25 * middle], axis=1)
    return {"units": units.astype(np.float32), "known": known.astype(np.uint8)}


def request(requested: Rows, *, words: bool = True, **changes: Any) -> dict[str, Any]:
    """A request of v2, all outputs wanted; by words and dates, as applications know them.

    `changes` replace what is said of single tensors, by name.
    """
    inputs = []
    for spec in TENSORS.inputs:
        values = requested[spec.name]
        tensor: dict[str, Any] = {"name": spec.name, "shape": list(values.shape)}
        if words and spec.accepts_text:
            tensor |= {"datatype": "BYTES", "data": [spelled(spec, value) for value in values]}
        else:
            tensor |= {"datatype": spec.datatype, "data": values.ravel().tolist()}
        inputs.append(tensor | changes.get(spec.name, {}))
    return {"inputs": inputs, "outputs": [{"name": spec.name} for spec in TENSORS.outputs]}


def spelled(spec: TensorSpec, value: int) -> str:
    """A number as an application would say it."""
    if spec.date:
        return (EPOCH + timedelta(days=int(value))).isoformat()
    return spec.vocabulary[int(value)]


def answered(body: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """The outputs of an answer of v2, as arrays."""
    return {
        output["name"]: np.reshape(output["data"], output["shape"]) for output in body["outputs"]
    }


def archive(requested: Rows, answers: Rows) -> bytes:
    """Golden examples as a file."""
    golden = io.BytesIO()
    arrays = {f"input.{name}": values for name, values in requested.items()}
    np.savez(golden, **arrays, **{f"output.{name}": v for name, v in answers.items()})
    return golden.getvalue()


def files() -> dict[str, bytes]:
    """The bundle; its golden examples are rows of every shop and kind."""
    requested = rows()
    return {
        "predictor.tflite": NETWORK.read_bytes(),
        "golden.npz": archive(requested, expected(requested)),
        "network.keras": b"not needed to serve",
    }


def manifest(number: int, bundle: dict[str, bytes]) -> Manifest:
    wape = Measurement(metric="wape", value=0.21, n=640, low=0.2, high=0.22)
    coverage = Measurement(metric="interval_coverage", value=0.81, n=640, low=0.78, high=0.84)
    return bundles.manifest(number, bundle, tensors=TENSORS).model_copy(
        update={"model": MODEL, "measurements": (wape, coverage)}
    )


def publish(bucket: Bucket, number: int) -> str:
    """Publish version `number`, and return its name."""
    bundle = files()
    ModelRegistry(bucket, MODEL).publish(manifest(number, bundle), bundle, SIGNER)
    return bundles.version_name(number)


def folder(place: Path, number: int = 1) -> Path:
    """The bundle of version `number` as a folder."""
    place.mkdir(parents=True, exist_ok=True)
    bundle = files()
    for name, body in bundle.items():
        (place / name).write_bytes(body)
    (place / "manifest.json").write_bytes(manifest(number, bundle).encoded())
    return place
