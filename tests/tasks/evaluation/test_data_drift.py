"""A model is compared with a champion of the same tensors, and with no other."""

import pytest

from overnight import models
from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema
from overnight.tasks.data.signature import check_tensors, same_tensors
from tests.support.examples import manifest

DEFINITION: ModelDefinition = models.find("digits")
(IMAGE,) = DEFINITION.tensors.inputs


def made(tensors: Schema) -> Manifest:
    return manifest().model_copy(update={"tensors": tensors})


def test_the_model_s_own_tensors_are_accepted_whatever_their_range():
    wider = IMAGE.model_copy(update={"maximum": 400})
    champion = made(DEFINITION.tensors.model_copy(update={"inputs": (wider,)}))

    check_tensors(champion, DEFINITION)

    assert same_tensors(champion, DEFINITION)


def test_a_champion_with_its_classes_in_another_order_is_accepted():
    labels = DEFINITION.tensors.labels[::-1]
    champion = made(DEFINITION.tensors.model_copy(update={"labels": labels}))

    check_tensors(champion, DEFINITION)

    assert same_tensors(champion, DEFINITION)


def test_a_champion_of_other_classes_stops_the_run_before_training():
    labels = ("zero", *DEFINITION.tensors.labels[1:])
    champion = made(DEFINITION.tensors.model_copy(update={"labels": labels}))

    with pytest.raises(ConfigurationError, match="'0' only in one; 'zero' only in the other"):
        check_tensors(champion, DEFINITION)

    assert not same_tensors(champion, DEFINITION)


@pytest.mark.parametrize(
    "change", [{"name": "picture"}, {"datatype": "INT32"}, {"shape": (32, 32)}], ids=str
)
@pytest.mark.parametrize("side", ["inputs", "outputs"])
def test_a_champion_of_other_tensors_stops_the_run_before_training(change, side):
    spec, *more = getattr(DEFINITION.tensors, side)
    other = DEFINITION.tensors.model_copy(update={side: (spec.model_copy(update=change), *more)})
    champion = made(other)

    with pytest.raises(ConfigurationError, match="give the changed model a new name") as reported:
        check_tensors(champion, DEFINITION)

    assert champion.version in str(reported.value)
    assert not same_tensors(champion, DEFINITION)
