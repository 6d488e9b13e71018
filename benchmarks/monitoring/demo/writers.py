"""Who wrote which image of MNIST, by its position in the official files.

Positions follow a rule, which was checked against the index of writers that QMNIST (Yadav and
Bottou 2019) reconstructed: of the 60,000 training images every other one, from the first up to
position 58,098, is by a high-school student and all others are by Census employees; of the test
images the first 5,001 are by students. No person wrote in both files.
"""

import numpy as np
from numpy.typing import NDArray

_TRAINING_IMAGES = 60_000
_AFTER_LAST_STUDENT = 58_100
FIRST_CENSUS_TEST = 5_001


def census_positions() -> NDArray[np.int64]:
    """Positions of Census employees' images in the training file, in its order."""
    positions = np.arange(_TRAINING_IMAGES)
    return positions[(positions % 2 == 1) | (positions >= _AFTER_LAST_STUDENT)]
