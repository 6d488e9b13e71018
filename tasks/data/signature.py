"""Compares the tensors of a version with those that the model declares now."""

from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema


def same_tensors(manifest: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version has the input and output tensors that the model declares now."""
    return _signature(manifest.tensors) == _signature(definition.tensors)


def check_tensors(champion: Manifest, definition: ModelDefinition) -> None:
    """Compare the champion's tensors with the model's before training.

    Raises:
        ConfigurationError: they differ, so no candidate could be compared with the champion, nor
            replace it without breaking its clients.
    """
    if not same_tensors(champion, definition):
        raise ConfigurationError(
            f"the tensors of {definition.name} changed: expected those of its champion "
            f"{champion.version}, {_signature(champion.tensors)}, found "
            f"{_signature(definition.tensors)}; tensors of a model never change: give the changed "
            "model a new name"
        )


def _signature(tensors: Schema) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(spec.name, spec.datatype, spec.shape) for spec in (*tensors.inputs, *tensors.outputs)]
