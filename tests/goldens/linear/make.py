"""Makes the small champion that tests of data gates ask: a linear reader of genuine digits.

A ridge regression on the first 20,000 training images, right on about 85 % of others; its scores
times ten through a softmax. Run by hand, only when it must change:

    python -m tests.goldens.linear.make FOLDER_OF_MNIST
"""

import sys
import tempfile
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf

from overnight.models.definition import Places
from overnight.models.digits import idx, mnist_files

_ROWS, _PENALTY, _SHARPNESS = 20_000, 100.0, 10.0


def main() -> None:
    with tempfile.TemporaryDirectory() as cache:
        files = mnist_files.official_files(Places(folder=Path(sys.argv[1]), cache=Path(cache)))
    images = idx.decode("images", files[mnist_files.TRAIN_IMAGES], idx.IMAGES)[:_ROWS]
    labels = idx.decode("labels", files[mnist_files.TRAIN_LABELS], idx.LABELS)[:_ROWS]
    inputs = np.c_[images.reshape(_ROWS, -1) / 255.0, np.ones(_ROWS)]
    square = inputs.T @ inputs + _PENALTY * np.eye(785)
    weights = np.linalg.solve(square, inputs.T @ np.eye(10)[labels]) * _SHARPNESS
    image = keras.Input((28, 28), dtype="uint8", name="image")
    flat = keras.layers.Reshape((784,))(keras.layers.Rescaling(1 / 255, dtype="float32")(image))
    dense = keras.layers.Dense(10, activation="softmax", name="probabilities")
    network = keras.Model(image, {"probabilities": dense(flat)})
    dense.set_weights([weights[:-1].astype(np.float32), weights[-1].astype(np.float32)])
    body = tf.lite.TFLiteConverter.from_keras_model(network).convert()
    (Path(__file__).parent / "predictor.tflite").write_bytes(body)


if __name__ == "__main__":
    main()
