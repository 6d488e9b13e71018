"""Pretrained parts that stay as they are for the first epochs of a fit."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import keras


@dataclass(frozen=True)
class Frozen:
    """Layers whose weights a fit does not change in its first `epochs`, and then more slowly.

    New layers on top of pretrained ones begin at random: what they send back at first would only
    destroy what the others have learned.

    Attributes:
        layers: their names, at any depth; of a nested model all its layers.
        epochs: how many; None for the whole fit.
        thawed_rate: from then on, the learning rate as a share of the setting's.
    """

    layers: tuple[str, ...]
    epochs: int | None = None
    thawed_rate: float = 0.1


class Freezer:
    """Freezes the layers of one network, and gives each part back the state that it had."""

    def __init__(self, network: keras.Model, frozen: Frozen) -> None:
        """Find the layers.

        Raises:
            ValueError: the network has no layer of a name.
        """
        known = {layer.name: layer for layer in _parts(network)}
        if unknown := [name for name in frozen.layers if name not in known]:
            raise ValueError(
                f"frozen: the network has no layer {', '.join(unknown)}; expected some of "
                f"{', '.join(known)}"
            )
        self._layers = [known[name] for name in frozen.layers]
        # Parts may have been frozen before, as batch normalisation in pretrained networks often is.
        self._states = [(part, part.trainable) for layer in self._layers for part in _parts(layer)]

    def freeze(self) -> None:
        """Stop the layers from learning, from the next compilation on."""
        for layer in self._layers:
            layer.trainable = False

    def thaw(self) -> None:
        """Let them learn again, from the next compilation on."""
        for part, state in self._states:
            part.trainable = state


def _parts(layer: keras.layers.Layer) -> Iterator[keras.layers.Layer]:
    """A layer, then those in it: a state that is set is that of all below, too."""
    yield layer
    for part in getattr(layer, "layers", ()):
        yield from _parts(part)
