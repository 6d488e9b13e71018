"""Truths of labels as arrays: classes as indices, numbers, and what is not whole."""

import numpy as np
import pytest

from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.monitoring.truths import truth_arrays

SCHEMA = Schema(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=()),),
    outputs=(
        TensorSpec(name="kind", datatype="FP32", shape=(2,)),
        TensorSpec(name="units", datatype="FP32", shape=(3,)),
    ),
    labels=("cat", "dog"),
)


def test_classes_and_numbers_of_several_outputs():
    whole, arrays = truth_arrays(
        ['{"kind":"dog","units":3}', '{"kind":"cat","units":0.5}', '{"kind":"cat"}'], SCHEMA
    )

    assert whole.tolist() == [True, True, False]
    assert arrays["kind"].tolist()[:2] == [1, 0]
    assert arrays["units"].tolist()[:2] == [3.0, 0.5]


def test_lists_have_the_shape_of_their_output():
    whole, arrays = truth_arrays(['{"units":[1,2,3]}', '{"units":[1,2]}', '{"units":7}'], SCHEMA)

    assert whole.tolist() == [True, False, False]
    np.testing.assert_array_equal(arrays["units"][0], [1, 2, 3])


@pytest.mark.parametrize(
    "truth",
    [None, "", "{", "[]", "{}", '{"kind":"cow"}', '{"kind":1}', '{"other":1}', '{"units":"3"}',
     '{"units":null}', '{"units":true}', '{"units":NaN}'],
)  # fmt: skip
def test_what_is_no_truth_is_not_whole(truth):
    whole, _ = truth_arrays([truth, truth], SCHEMA)

    assert whole.tolist() == [False, False]


def test_no_labels_are_no_truths():
    whole, arrays = truth_arrays([], SCHEMA)

    assert (len(whole), arrays) == (0, {})
