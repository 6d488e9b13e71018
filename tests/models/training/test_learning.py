"""Keras' own loop trains one output of a network that may have more."""

import keras
import numpy as np
import pytest

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Examples
from overnight.models.training import export, learning

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SETTINGS = TrainingSettings(
    epochs=2, batch_rows=20, learning_rate=0.1, seed=1, validation_share=0.2, patience_epochs=2
)


def network() -> keras.Model:
    """From one number to `probabilities`, and to `seen`, which explains it."""
    number = keras.Input((), dtype="float32", name="number")
    seen = keras.layers.Reshape((1,), name="doubled")(number * 2)
    answer = keras.layers.Dense(2, activation="softmax")(seen)
    return keras.Model({"number": number}, {"probabilities": answer, "seen": seen})


def test_a_network_with_a_second_output_is_trained_on_its_first_and_exported() -> None:
    numbers = np.linspace(-1, 1, 40, dtype=np.float32)
    rows = Examples({"number": numbers}, (numbers > 0).astype(np.int64))
    keras.utils.set_random_seed(1)
    untrained = network()
    before = untrained.get_weights()

    fitted = learning.fit(
        untrained,
        rows,
        rows,
        output="probabilities",
        loss="sparse_categorical_crossentropy",
        metrics=("accuracy",),
        settings=SETTINGS,
        report=lambda _progress: None,
    )

    # Then the weights moved, metrics have the names that one output has, and both are answered.
    assert any((a != b).any() for a, b in zip(before, fitted.network.get_weights(), strict=True))
    assert {"loss", "accuracy", "validation_loss", "validation_accuracy"} <= {*fitted.history[0]}
    alike = lambda first, _second: np.ones(len(first["seen"]), bool)  # noqa: E731
    files = export.export(fitted.network, rows.inputs, alike=alike)
    answered = export.run_predictor(files["predictor.tflite"], rows.inputs)
    assert answered["seen"] == pytest.approx(2 * numbers[:, None])
    assert answered["probabilities"].shape == (40, 2)
