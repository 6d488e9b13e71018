"""Training and serving refuse the same values by the same declaration."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from overnight.serving.errors import BadInput
from overnight.serving.inference.validation import check_range
from overnight.store.schema import NUMPY_TYPES, TensorSpec
from overnight.tasks.data.tensor_checks import tensor_mismatch

SPECS = [
    TensorSpec(name="any", datatype="FP32", shape=()),
    TensorSpec(name="from", datatype="FP32", shape=(2,), minimum=0),
    TensorSpec(name="within", datatype="FP64", shape=(), minimum=-1.5, maximum=2),
    TensorSpec(name="missing", datatype="FP32", shape=(), minimum=0, maximum=1, nullable=True),
    TensorSpec(name="word", datatype="INT32", shape=(), vocabulary=("a", "b", "c")),
    TensorSpec(name="pixels", datatype="UINT8", shape=(3,), minimum=1, maximum=9),
    TensorSpec(name="day", datatype="INT32", shape=(), date=True, minimum=3, maximum=8),
]


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_training_and_serving_refuse_the_same_values(spec: TensorSpec, data: st.DataObject) -> None:
    dtype = np.dtype(NUMPY_TYPES[spec.datatype])
    n = data.draw(st.integers(1, 4))
    edges = [0, 1, 2, 3, 8, 9, 10, 255, spec.minimum or 0, spec.maximum or 0]
    edges += [-1, -2, 0.5, 1.0001, np.inf, -np.inf] if dtype.kind == "f" else []
    edges += [-1, -2] if dtype.kind == "i" else []
    values = st.sampled_from(edges)
    rows = data.draw(arrays.arrays(dtype, (n, *spec.shape), elements=values.map(dtype.type)))
    # One value that is there, so that not all of them are missing: that is about the whole table.
    if spec.nullable and n > 1:
        rows[1:] = np.where(rows[1:] > 1, np.nan, rows[1:])

    try:
        check_range(spec, rows, field="f")
        is_served = True
    except BadInput:
        is_served = False

    assert is_served == (tensor_mismatch(rows, spec) == "")
