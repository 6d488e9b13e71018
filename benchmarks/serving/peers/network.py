"""The network of all servers: the classic Keras MNIST CNN, in the format that each loads.

28 × 28 pixels of UINT8 in, scaled inside the network; 3 × 3 convolutions of 32 and 64 with ReLU,
max-pooling by 2, dense 128 with ReLU, dense 10 with softmax. It is trained for seconds, on digits
drawn with a font, so that nothing is downloaded and every answer is sure.
"""

import json
import os
import shutil
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Images = NDArray[np.uint8]

SEED, TRAINING, SAMPLES, EPOCHS = 7, 4_000, 64, 2
# Raise it when what is made here changes: what an older run left is then made anew.
FORM = 1


@dataclass(frozen=True)
class Sample:
    """Images [n, 28, 28], and the digits that the Keras network predicts for them [n]."""

    images: Images
    digits: NDArray[np.int64]


def drawn(digits: NDArray[np.int64], chance: np.random.Generator) -> Images:
    """Each digit in a font, larger or smaller, elsewhere, and tilted: [n, 28, 28]."""
    fonts = [ImageFont.load_default(size) for size in (18, 20, 22, 24)]
    images = np.empty((len(digits), 28, 28), np.uint8)
    for place, digit in enumerate(digits):
        image = Image.new("L", (28, 28))
        x, y = chance.integers(11, 18, 2)
        font = fonts[chance.integers(len(fonts))]
        ImageDraw.Draw(image).text((x, y), str(digit), fill=255, font=font, anchor="mm")
        tilted = image.rotate(float(chance.uniform(-15, 15)), Image.Resampling.BILINEAR)
        images[place] = np.asarray(tilted)
    return images


def make(folder: Path) -> None:
    """Fill `folder` with the network's forms and the sample; complete once `form.json` is there."""
    import keras

    keras.utils.set_random_seed(SEED)
    chance = np.random.default_rng(SEED)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    digits = chance.integers(0, 10, TRAINING)
    network = _classic(keras)
    network.compile("adam", "sparse_categorical_crossentropy")
    network.fit(drawn(digits, chance), digits, batch_size=64, epochs=EPOCHS, verbose=0)
    network.save(folder / "network.keras")
    (folder / "network.tflite").write_bytes(_litert(keras, network))
    weights = [array for layer in network.layers for array in layer.get_weights()]
    np.savez(folder / "weights.npz", *weights)
    images = drawn(np.arange(SAMPLES) % 10, chance)
    answers = network.predict(images, verbose=0)
    np.savez(folder / "sample.npz", images=images, digits=answers.argmax(axis=1))
    (folder / "form.json").write_text(json.dumps({"form": FORM}))


def is_made(folder: Path) -> bool:
    form = folder / "form.json"
    return form.exists() and json.loads(form.read_text()) == {"form": FORM}


def sample(folder: Path) -> Sample:
    with np.load(folder / "sample.npz") as kept:
        return Sample(kept["images"], kept["digits"])


def _classic(keras: Any) -> Any:
    layers = keras.layers
    return keras.Sequential(
        [
            keras.Input((28, 28), dtype="uint8", name="image"),
            layers.Rescaling(1 / 255),
            layers.Reshape((28, 28, 1)),
            layers.Conv2D(32, 3, activation="relu"),
            layers.Conv2D(64, 3, activation="relu"),
            layers.MaxPooling2D(2),
            layers.Flatten(),
            layers.Dense(128, activation="relu"),
            layers.Dense(10, activation="softmax"),
        ]
    )


def _litert(keras: Any, network: Any) -> bytes:
    """With int8 weights and activations quantised as they come, as our pipeline exports it."""
    import tensorflow as tf

    named = keras.Model(network.inputs, {"probabilities": network.outputs[0]})
    converter = tf.lite.TFLiteConverter.from_keras_model(named)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    return bytes(converter.convert())


if __name__ == "__main__":
    make(Path(sys.argv[1]))
