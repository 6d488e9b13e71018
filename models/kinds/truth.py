"""The truth of examples, for models with one output and with several."""

from collections.abc import Mapping

from overnight.models.examples import Array, Examples


def truth_of(examples: Examples, output: str) -> Array:
    """The labels that belong to an output, [n]: all of them, where there is one kind."""
    labels: Array | Mapping[str, Array] = examples.labels
    return labels[output] if isinstance(labels, Mapping) else labels
