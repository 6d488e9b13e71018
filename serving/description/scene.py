"""What a description is made for: an address, the models that answer there, and their limits."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from serving.inference.limits import Limits
from store.schema import Schema, TensorSpec

# Shown where no model is served yet, or where they are nobody's business.
PATTERN = Schema(
    inputs=(TensorSpec(name="x", datatype="FP32", shape=(4,)),),
    outputs=(TensorSpec(name="y", datatype="FP32", shape=(1,)),),
)
PATTERN_MODEL, PATTERN_VERSION = "my-model", "20260102T030405-0123456789ab"


@dataclass(frozen=True)
class Served:
    """The version of a model that answers, its tensors, and another version that is loaded."""

    version: str
    tensors: Schema
    other: str = PATTERN_VERSION


@dataclass(frozen=True)
class Scene:
    """`url` without a slash at its end; `keyed` when predictions need a key."""

    url: str
    models: Mapping[str, Served] = field(default_factory=dict)
    limits: Limits = field(default_factory=Limits)
    keyed: bool = False

    def shown(self) -> dict[str, Served]:
        """The models of the examples: those that are served, or a pattern to fill in."""
        return dict(self.models) or {PATTERN_MODEL: Served(PATTERN_VERSION, PATTERN)}
