"""Input layers that follow from a schema, exported and answered as served."""

import keras
import numpy as np
import pytest

from overnight.models.training import export as exporting
from overnight.models.training.inputs import features, keras_inputs
from overnight.store.encoding import encode
from overnight.store.schema import Missing, Schema, TensorSpec, TextEncoding

pytestmark = pytest.mark.training

COLOUR = TensorSpec(name="colour", datatype="INT32", shape=(), vocabulary=("red", "blue"))
AGE = TensorSpec(
    name="age",
    datatype="FP32",
    shape=(),
    missing=Missing(value=30, flag=True),
    mean=30,
    deviation=10,
)
PRICE = TensorSpec(name="price", datatype="INT32", shape=(), borders=(5, 9))
COUNT = TensorSpec(name="count", datatype="INT64", shape=())
TEXT = TensorSpec(
    name="text",
    datatype="BYTES",
    shape=(),
    text=TextEncoding(tokenizer="whitespace", length=3, pieces=("good",)),
)
SERIES = TensorSpec(name="series", datatype="FP32", shape=(8,), lengths=(4, 8))
OUTPUT = TensorSpec(name="row", datatype="FP32", shape=(9,))
TENSORS = Schema(inputs=(COLOUR, AGE, PRICE, COUNT, TEXT, SERIES), outputs=(OUTPUT,))
PUBLISHED = {
    "colour": np.array(["blue", "red"], object),
    "age": np.array([np.nan, 50.0]),
    "price": np.array([5, 20]),
    "count": np.array([3, 4]),
    "text": np.array(["good day", ""], object),
    "series": np.array([[1.0, 2.0], [3.0]], object),
}


def test_every_array_of_the_network_has_an_input_in_its_datatype() -> None:
    inputs = keras_inputs(TENSORS)

    assert {name: (layer.dtype, layer.shape) for name, layer in inputs.items()} == {
        "colour": ("int32", (None,)),
        "age": ("float32", (None,)),
        "age_missing": ("uint8", (None,)),
        "price": ("int32", (None,)),
        "count": ("int64", (None,)),
        "text": ("int32", (None, 3)),
        "series": ("float32", (None, None)),
        "series_length": ("int32", (None,)),
    }
    encoded = encode(TENSORS, {**PUBLISHED, "series": _series()})
    assert set(encoded) == set(inputs)


def test_single_values_stand_side_by_side_and_are_served_as_they_were_built() -> None:
    single = Schema(inputs=(COLOUR, AGE, PRICE, COUNT), outputs=(OUTPUT,))
    inputs = keras_inputs(single)
    network = keras.Model(inputs, {"row": features(single, inputs)})
    given = encode(single, {name: PUBLISHED[name] for name in ("colour", "age", "price", "count")})

    built = exporting.predict(network, given)["row"]

    # Two colours, the scaled age and whether it was missing, two borders of the price, the count.
    assert built.tolist() == [[0, 1, 0, 1, 1, 0, 3], [1, 0, 2, 0, 1, 1, 4]]
    files = exporting.export(network, given, alike=lambda a, b: np.array([True, True]))
    served = exporting.run_predictor(files["predictor.tflite"], given)["row"]
    assert np.allclose(served, built)


def test_inputs_may_be_left_out_but_not_all_of_them() -> None:
    inputs = keras_inputs(TENSORS)

    assert features(TENSORS, inputs, without=("age", "count")).shape == (None, 4)
    only = Schema(inputs=(TEXT, SERIES), outputs=(OUTPUT,))
    with pytest.raises(ValueError, match="none of text, series, series_length is a single number"):
        features(only, keras_inputs(only))


def _series() -> np.ndarray:
    rows = np.empty(2, object)
    rows[:] = [[1.0, 2.0], [3.0]]
    return rows
