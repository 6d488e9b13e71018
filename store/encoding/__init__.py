"""From published values to the network's inputs, by the schema alone: in training and serving.

`encode` turns what clients send and rows hold into the arrays that a network takes, whose
declaration `network_inputs` gives. It needs numpy and nothing of training.
"""

from overnight.store.encoding.inputs import encode, network_inputs

__all__ = ["encode", "network_inputs"]
