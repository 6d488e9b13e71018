"""Score of how unlike the training rows a row is, trained after the network and exported with it.

A small network tells features of training rows from features of rows that were made to be unlike
them (Hendrycks 2019, outlier exposure). It reads what the network computes anyway, and the weights
of the network itself stay as they are. Imported by networks only: it imports TensorFlow.
"""

from __future__ import annotations

import keras
import numpy as np
from numpy.typing import NDArray

WIDTH = 64
EPOCHS = 6
BATCH_ROWS = 128
LEARNING_RATE = 0.003
# Of training rows; more cost time, and change the share that is found by less than its noise.
MOST_ROWS = 10_000


def fit_score(
    familiar: NDArray[np.float32], unlike: NDArray[np.float32], *, seed: int
) -> keras.Model:
    """Train the score of features [n, d]: a network to float32 [n], above 0, higher if unlike.

    The same machine, rows and seed give the same weights.
    """
    keras.utils.set_random_seed(seed)
    layers = keras.layers
    standard = layers.Normalization(name="standard")
    standard.adapt(familiar)
    inputs = keras.Input(familiar.shape[1:], name="features_of_row")
    x = layers.Dense(WIDTH, activation="relu", name="unlike_hidden")(standard(inputs))
    logit = layers.Dense(1, name="unlike_logit")(x)
    head = keras.Model(inputs, logit)
    rows = np.concatenate([familiar, unlike])
    labels = np.repeat([0.0, 1.0], [len(familiar), len(unlike)])
    steps = EPOCHS * -(-len(rows) // BATCH_ROWS)
    head.compile(
        keras.optimizers.AdamW(
            keras.optimizers.schedules.CosineDecay(LEARNING_RATE, steps), weight_decay=0.02
        ),
        keras.losses.BinaryCrossentropy(from_logits=True),
    )
    head.fit(rows, labels, batch_size=BATCH_ROWS, epochs=EPOCHS, verbose=0)
    # Above 0, so that it can be given as a share of the threshold; in the order of the logits.
    score = layers.Rescaling(1.0, offset=1.0)(layers.ELU()(head.output))
    return keras.Model(inputs, layers.Reshape(())(score), name="novelty")


def chosen_rows(n: int, *, seed: int) -> NDArray[np.int64]:
    """Which of n training rows the score learns from: all, or a random `MOST_ROWS` of them."""
    return np.random.default_rng(seed).permutation(n)[:MOST_ROWS]
