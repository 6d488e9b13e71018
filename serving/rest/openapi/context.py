"""What the OpenAPI document depends on: an address, the served models, and the limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from overnight.serving.inference.limits import Limits
from overnight.store.schema import Schema, TensorSpec

# Shown while no model is served, and to clients that may not list the models.
PLACEHOLDER_MODEL, PLACEHOLDER_VERSION = "my-model", "20260102T030405-0123456789ab"
PLACEHOLDER_TENSORS = Schema(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(4,)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(1,)),),
)


@dataclass(frozen=True)
class Served:
    """The current version of a model, its tensors, and another version that is loaded.

    `takes_labels`: clients may send the truth of its answers.
    """

    version: str
    tensors: Schema
    other: str = PLACEHOLDER_VERSION
    takes_labels: bool = True


@dataclass(frozen=True)
class ApiContext:
    """`url` has no slash at its end; `keyed` means that predictions require a key."""

    url: str
    models: Mapping[str, Served] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    keyed: bool = False

    def shown(self) -> dict[str, Served]:
        """The models of the examples: the served ones, or a placeholder."""
        return dict(self.models) or {
            PLACEHOLDER_MODEL: Served(PLACEHOLDER_VERSION, PLACEHOLDER_TENSORS)
        }

    def labelled(self) -> dict[str, Served]:
        """Those that take labels of their answers."""
        return {model: served for model, served in self.shown().items() if served.takes_labels}
