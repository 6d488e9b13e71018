"""Compares what a version takes and answers with what its model declares now.

Features change under one name, so that a version need not have the model's own tensors to be
compared with it: `store.schema_translation` says what each is sent. To stand in for a version
without anybody's decision, however, it must look the same to clients.
"""

from overnight.models.definition import ModelDefinition
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema
from overnight.store.schema_translation import translation, why_incomparable


def can_answer(manifest: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version can be sent rows of the model, each in its own encoding."""
    return not why_incomparable(definition.tensors, manifest.tensors)


def same_tensors(manifest: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version has the tensors and the classes that the model declares now.

    Vocabularies, and the order of classes, may be others.
    """
    own = definition.tensors
    if _signature(manifest.tensors) != _signature(own) or not can_answer(manifest, definition):
        return False
    classes = translation(own, manifest.tensors).classes
    return all((places >= 0).all() for places in classes.values())


def _signature(tensors: Schema) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype, spec.shape) for spec in (*tensors.inputs, *tensors.outputs)]
