"""docs/inputs.md is true: each of its requests becomes the arrays that it shows."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from overnight.serving.inference.decoding import from_rows
from overnight.serving.inference.vocabulary import OutOfVocabulary
from overnight.store.encoding import encode, network_inputs
from overnight.store.encoding.arrays import objects
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

PAGE = (Path(__file__).parents[1] / "docs" / "inputs.md").read_text()
EXAMPLE = re.compile(
    r"^```python\n(?P<code>(?:(?!^```).)*?LEARNED(?:(?!^```).)*?)^```\n"
    r"(?:(?!^```).)*^```json\n(?P<request>.*?)^```\n"
    r"(?:(?!^```).)*^```json\n(?P<arrays>.*?)^```",
    re.MULTILINE | re.DOTALL,
)
IMPORTS = re.search(r"^```python\n(from overnight.*?)^```", PAGE, re.MULTILINE | re.DOTALL)
ROW = TensorSpec(name="row", datatype="INT32", shape=())
OUT = TensorSpec(name="y", datatype="FP32", shape=(1,))


def test_every_section_has_an_example() -> None:
    assert len(list(EXAMPLE.finditer(PAGE))) == PAGE.count("LEARNED = {") == 8


@pytest.mark.parametrize("place", range(8))
def test_a_request_of_the_page_becomes_the_arrays_that_it_shows(place: int) -> None:
    example = list(EXAMPLE.finditer(PAGE))[place]
    names: dict[str, Any] = {}
    assert IMPORTS is not None
    exec(IMPORTS[1] + example["code"], names)  # noqa: S102 - the code of our own page
    (declared,) = [value for value in names.values() if isinstance(value, TensorSpec)]
    learner = names["LEARNED"].get(declared.name)
    rows = objects(names["ROWS"], len(names["ROWS"]))
    spec = learner(rows, declared) if learner else declared

    # As serving decodes it; beside it an input that says how many rows there are.
    schema = Schema(inputs=(spec, ROW), outputs=(OUT,))
    sent = json.loads(example["request"])["inputs"]
    inputs = {
        name: from_rows(spec, values, field=name, unknown=OutOfVocabulary())
        for name, values in sent.items()
    }
    n = len(next(iter(inputs.values()), [0]))
    arrays = encode(schema, {**inputs, "row": np.arange(n, dtype=np.int32)})

    assert {name: array.tolist() for name, array in arrays.items() if name != "row"} == json.loads(
        example["arrays"]
    )
    kinds = {spec.name: NUMPY_TYPES[spec.datatype] for spec in network_inputs(schema)}
    assert {name: str(array.dtype) for name, array in arrays.items()} == kinds
