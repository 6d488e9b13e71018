"""Compares the tensors of a version with those that the model declares now.

Vocabularies and the order of classes may change: each version is sent rows in its own encoding.
"""

from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema
from overnight.store.schema_translation import why_incomparable


def same_tensors(manifest: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version has the tensors and the classes that the model declares now."""
    return _signature(manifest.tensors) == _signature(definition.tensors) and not why_incomparable(
        definition.tensors, manifest.tensors
    )


def check_tensors(champion: Manifest, definition: ModelDefinition) -> None:
    """Compare the champion's tensors with the model's before training.

    Raises:
        ConfigurationError: they or the classes differ, so no candidate could be compared with the
            champion, nor replace it without breaking its clients.
    """
    if _signature(champion.tensors) != _signature(definition.tensors):
        raise ConfigurationError(
            f"the tensors of {definition.name} changed: expected those of its champion "
            f"{champion.version}, {_signature(champion.tensors)}, found "
            f"{_signature(definition.tensors)}; tensors of a model never change: give the changed "
            "model a new name"
        )
    if why := why_incomparable(definition.tensors, champion.tensors):
        raise ConfigurationError(
            f"{definition.name} cannot be compared with its champion {champion.version}: {why}; "
            "give the changed model a new name"
        )


def _signature(tensors: Schema) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype, spec.shape) for spec in (*tensors.inputs, *tensors.outputs)]
