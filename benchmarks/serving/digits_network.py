"""Writes the predictor of the network of digits for other benchmarks: `python -m … FILE`.

It is not trained: the cost of inference does not depend on the weights.
"""

import sys
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overnight.models.digits import network
from overnight.models.examples import Outputs
from overnight.models.training import export


def _all_alike(_: Outputs, exported: Outputs) -> NDArray[np.bool_]:
    """Accept int8 weights in any case, as a trained network does."""
    return np.ones(len(next(iter(exported.values()))), bool)


def main() -> None:
    images = np.zeros((1, 28, 28), np.uint8)
    files = export.export(network.build(seed=1), {"image": images}, alike=_all_alike)
    Path(sys.argv[1]).write_bytes(files["predictor.tflite"])


if __name__ == "__main__":
    main()
