"""Whether a version takes and answers what the model declares now."""

from overnight.models.definition import ModelDefinition
from overnight.store.errors import ConfigurationError
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import Schema


def same_tensors(manifest: Manifest, definition: ModelDefinition) -> bool:
    """Whether a version takes and answers the tensors that the model declares now."""
    return _told(manifest.tensors) == _told(definition.tensors)


def check_tensors(champion: Manifest, definition: ModelDefinition) -> None:
    """Hold the champion's tensors against the model's, before anything is trained.

    Raises:
        ConfigurationError: they differ, so no candidate can be compared with it, nor take over
            from it without breaking whoever asks.
    """
    if not same_tensors(champion, definition):
        raise ConfigurationError(
            f"the tensors of {definition.name} changed: expected those of its champion "
            f"{champion.version}, {_told(champion.tensors)}, found {_told(definition.tensors)}; "
            "a model keeps its tensors for ever: give the changed model a new name"
        )


def _told(tensors: Schema) -> list[tuple[str, str, tuple[int, ...]]]:
    return [(one.name, one.datatype, one.shape) for one in (*tensors.inputs, *tensors.outputs)]
