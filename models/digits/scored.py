"""The network of digits with the score of how unlike digits a picture is, as it is exported."""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from numpy.typing import NDArray

from overnight.models.digits.unlike import unlike_digits
from overnight.models.examples import Examples
from overnight.models.training.scoring import chosen_rows, fit_score
from overnight.store.novelty import SCORE_OUTPUT

UNLIKE_PER_DIGIT = 2
_SEED = 1
_BATCH_ROWS = 500


def with_score(network: keras.Model, training: Examples) -> keras.Model:
    """The network with a further output `novelty`, float32 [n], trained on rows that it learned.

    Its score reads what the second, third and fourth convolution see, the second one in cells of
    two by two: the last one alone knows what tells digits apart, and little of what is no digit.
    """
    every = np.asarray(training.inputs["image"], np.uint8)
    images = every[chosen_rows(len(every), seed=_SEED)]
    unlike = unlike_digits(images, UNLIKE_PER_DIGIT * len(images), np.random.default_rng(_SEED))
    reader, normalise = _reader_with_features(network), network.get_layer("seen")
    head = fit_score(
        _features(reader, normalise, images), _features(reader, normalise, unlike), seed=_SEED
    )
    image = keras.Input(network.input.shape[1:], dtype="uint8", name="image")
    seen = normalise(image)
    logits, features = reader(seen)
    return keras.Model(
        image,
        {
            "probabilities": network.get_layer("probabilities")(logits),
            "seen": seen,
            SCORE_OUTPUT: head(features),
        },
        name="digits_with_score",
    )


def _reader_with_features(network: keras.Model) -> keras.Model:
    """The convolutions of the network with two outputs: logits [n, 10] and features [n, d]."""
    reader = network.get_layer("reader")
    layers = keras.layers
    _, second, *last = [each.output for each in reader.layers if isinstance(each, layers.ReLU)]
    cells = layers.AveragePooling2D(2, name="cells")(second)
    flat = [layers.Flatten()(each) for each in (cells, *last)]
    joined = layers.Concatenate(name="features_for_score")(flat)
    return keras.Model(reader.input, [reader.output, joined], name="reader_with_features")


def _features(reader: keras.Model, normalise: Any, images: NDArray[np.uint8]) -> Any:
    """The features of images, float32 [n, d], without the whole of them in memory twice."""
    parts = [
        reader.predict_on_batch(normalise(images[start : start + _BATCH_ROWS]))[1]
        for start in range(0, len(images), _BATCH_ROWS)
    ]
    return np.concatenate(parts)
