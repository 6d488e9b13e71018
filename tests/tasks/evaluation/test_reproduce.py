"""A version that was trained again is compared in weights, bytes, metrics and answers."""

import io
import zipfile
from dataclasses import replace

import h5py
import numpy as np
import pytest

from overnight import models
from overnight.models.examples import Examples
from overnight.store.errors import CorruptVersion
from overnight.tasks.errors import NotReproducible
from overnight.tasks.evaluation.explain import Present
from overnight.tasks.evaluation.reproduce import (
    check_rows,
    compare,
    differences,
    mismatches,
    recorded_snapshot,
    weights,
)
from tests.support.examples import manifest
from tests.support.serving import bundles

DEFINITION = models.find("digits")
MADE = manifest()
HOLDOUT = Examples(
    inputs={"image": np.arange(12 * 784, dtype=np.uint64).reshape(12, 28, 28).astype(np.uint8)},
    labels=np.arange(12) % 10,
)


def keras_file(**arrays: np.ndarray) -> bytes:
    """What a Keras file keeps of a network's weights."""
    body, archive = io.BytesIO(), io.BytesIO()
    with h5py.File(body, "w") as file:
        for name, array in arrays.items():
            file[f"layers/{name}/vars/0"] = array
    with zipfile.ZipFile(archive, "w") as written:
        written.writestr("model.weights.h5", body.getvalue())
    return archive.getvalue()


def bundle(number: int, **arrays: np.ndarray) -> dict[str, bytes]:
    return {"network.keras": keras_file(**arrays), "predictor.tflite": bundles.network(number)}


def test_equal_bundles_are_bit_identical():
    item = bundle(1, dense=np.ones(3, np.float32))

    result = compare(DEFINITION, MADE, item, item, holdout=HOLDOUT, mismatches=())

    assert result.identical
    assert (result.changed_answers, result.largest, result.metrics) == (0, 0.0, ())
    assert str(result) == f"{MADE.version}: bit-identical weights and predictor"


def test_other_weights_are_listed_by_name_and_size():
    then = bundle(1, dense=np.ones(3, np.float32), conv=np.zeros(2, np.float32))
    now = bundle(1, dense=np.array([1, 1.5, 1], np.float32), conv=np.zeros(2, np.float32))

    result = compare(DEFINITION, MADE, then, now, holdout=HOLDOUT, mismatches=("python: other",))

    assert not result.identical
    assert [(weight.name, weight.largest, weight.of) for weight in result.weights] == [
        ("layers/dense/vars/0", 0.5, 3)
    ]
    assert "1 arrays of weights differ, by 0.5 at most" in str(result)
    assert "the environment differs: python: other" in str(result)


def test_another_predictor_is_reported_by_its_answers():
    same = {"dense": np.ones(3, np.float32)}

    result = compare(
        DEFINITION, MADE, bundle(1, **same), bundle(2, **same), holdout=HOLDOUT, mismatches=()
    )

    assert not result.identical
    assert not result.predictor_identical
    expected = np.abs(
        bundles.probabilities(1, HOLDOUT.inputs["image"]).astype(np.float64)
        - bundles.probabilities(2, HOLDOUT.inputs["image"])
    ).max()
    assert result.largest == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize("now", [{}, {"dense": np.ones(4, np.float32)}])
def test_a_missing_or_reshaped_array_differs_by_infinity(now):
    (result,) = differences({"dense": np.ones(3, np.float32)}, now)

    assert result.largest == float("inf")


def test_a_single_bit_is_a_difference():
    then = np.ones(3, np.float32)
    now = then.copy()
    now[1] = np.nextafter(np.float32(1), np.float32(2))

    (result,) = differences({"dense": then}, {"dense": now})

    assert result.largest == pytest.approx(1.19e-7, rel=0.01)


@pytest.mark.parametrize(
    "body", [b"", b"no archive", bundles.network(1)], ids=["empty", "text", "predictor"]
)
def test_a_file_without_weights_is_refused(body):
    with pytest.raises(CorruptVersion, match=r"network\.keras"):
        weights(body)


@pytest.mark.parametrize("field", ["digest", "holdout_digest"])
def test_other_rows_than_recorded_are_refused(field):
    result = replace(recorded_snapshot(MADE), **{field: "9" * 64})

    with pytest.raises(NotReproducible, match="found 999999999999"):
        check_rows(MADE, result)


def test_the_recorded_rows_are_accepted():
    check_rows(MADE, recorded_snapshot(MADE))


def test_the_interpreter_the_machine_and_the_packages_are_compared():
    environment = MADE.environment.model_copy(update={"python": "3.13.1", "lock_digest": "9"})
    now = Present(MADE.data, MADE.code, environment, MADE.training.settings)

    reported = mismatches(MADE, now)

    assert reported == (
        "packages: another lock file; the packages that train are the same",
        f"python: {MADE.environment.python} then, 3.13.1 now",
    )
