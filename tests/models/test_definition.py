"""Names of tensors are checked when a model is declared, and not when a manifest is read."""

from dataclasses import replace

import pytest

from overnight import models
from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.schema import Schema, TensorSpec

DIGITS = models.find("digits")


def tensor(name: str) -> TensorSpec:
    return TensorSpec(name=name, datatype="FP32", shape=())


def declared(inputs: list[str], outputs: list[str]) -> ModelDefinition:
    tensors = Schema(inputs=tuple(map(tensor, inputs)), outputs=tuple(map(tensor, outputs)))
    return replace(DIGITS, tensors=tensors)


@pytest.mark.parametrize(
    "name",
    [
        "class",
        "None",
        "lambda",
        "self",
        "file",
        "",
        "a b",
        "a/b",
        "x:0",
        "_x",
        "größe",
        "a\n",
        "-a",
    ],
)
@pytest.mark.parametrize("kind", ["input", "output"])
def test_a_name_that_no_export_takes_is_refused_at_declaration(name: str, kind: str) -> None:
    named = (["x", name], ["y"]) if kind == "input" else (["x"], ["y", name])

    with pytest.raises(ConfigurationError, match=rf"digits: the {kind} .* rename the tensor"):
        declared(*named)


@pytest.mark.parametrize("names", [["x", "x"], ["x", "X"]])
def test_two_tensors_of_one_name_are_refused(names: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="two inputs are called 'x'"):
        declared(names, ["y"])


@pytest.mark.parametrize("name", ["image", "od280_od315", "a-b", "a.b", "1x", "inputs", "match"])
def test_other_names_are_taken(name: str) -> None:
    assert declared([name], [name]).tensors.inputs[0].name == name


def test_a_manifest_with_any_names_stays_readable() -> None:
    tensors = Schema(inputs=(tensor("class"),), outputs=(tensor("self"),))

    assert Schema.model_validate_json(tensors.model_dump_json()) == tensors
