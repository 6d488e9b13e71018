"""A model is compared with a champion of the same tensors, and with no other."""

import pytest

from overnight import models
from overnight.models.definition import ModelDefinition
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema
from overnight.tasks.data.signature import can_answer, same_tensors
from tests.support.examples import manifest

DEFINITION: ModelDefinition = models.find("digits")
(IMAGE,) = DEFINITION.tensors.inputs


def made(tensors: Schema) -> Manifest:
    return manifest().model_copy(update={"tensors": tensors})


def test_versions_of_the_model_s_own_tensors_may_stand_in_for_one_another():
    spec = DEFINITION.tensors.inputs[0]
    wider = made(
        DEFINITION.tensors.model_copy(
            update={"inputs": (spec.model_copy(update={"maximum": 400}),)}
        )
    )
    turned = made(DEFINITION.tensors.model_copy(update={"labels": DEFINITION.tensors.labels[::-1]}))

    assert same_tensors(wider, DEFINITION)
    assert same_tensors(turned, DEFINITION)


def test_a_version_that_lacks_a_class_can_answer_but_not_stand_in():
    labels = ("zero", *DEFINITION.tensors.labels[1:])
    champion = made(DEFINITION.tensors.model_copy(update={"labels": labels}))

    assert can_answer(champion, DEFINITION)
    assert not same_tensors(champion, DEFINITION)


@pytest.mark.parametrize(
    ("change", "answers"),
    [({"name": "picture"}, False), ({"datatype": "INT32"}, True), ({"shape": (32, 32)}, False)],
    ids=str,
)
def test_a_version_of_other_inputs_never_stands_in(change, answers):
    spec, *more = DEFINITION.tensors.inputs
    other = DEFINITION.tensors.model_copy(
        update={"inputs": (spec.model_copy(update=change), *more)}
    )
    champion = made(other)

    assert can_answer(champion, DEFINITION) == answers
    assert not same_tensors(champion, DEFINITION)
