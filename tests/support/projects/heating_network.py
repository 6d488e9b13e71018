"""Writes `heating.keras` of the project: `python -m tests.support.projects.heating_network FILE`.

A network as somebody's notebook left it: trained a little, on codes and raw numbers. The file is
kept in the project, as a file that somebody was given would be; it need not be made again.
"""

import sys
from pathlib import Path

import keras
import numpy as np

from tests.support.projects.rows import heating

KINDS = ("other", "flat", "house")


def network() -> keras.Model:
    keras.utils.set_random_seed(7)
    layers, rows = keras.layers, heating(1)
    inputs = {name: keras.Input((), name=name) for name in ("area", "outside")}
    inputs["kind"] = keras.Input((), dtype="int32", name="kind")
    numbers = layers.Concatenate()([layers.Reshape((1,))(inputs[n]) for n in ("area", "outside")])
    scaled = layers.Normalization(mean=[100.0, 0.0], variance=[2500.0, 50.0])(numbers)
    codes = layers.Flatten()(layers.Embedding(len(KINDS), 2)(inputs["kind"]))
    hidden = layers.Dense(16, activation="relu")(layers.Concatenate()([scaled, codes]))
    made = keras.Model(inputs, {"need": layers.Dense(1, name="need")(hidden)})
    made.compile(keras.optimizers.Adam(0.05), loss="mae")
    given = {name: rows[name].to_numpy().astype("float32") for name in ("area", "outside")}
    given["kind"] = np.array([KINDS.index(kind) for kind in rows["kind"].to_pylist()], "int32")
    made.fit(given, rows["need"].to_numpy(), epochs=40, batch_size=64, verbose=0)
    return made


if __name__ == "__main__":
    network().save(Path(sys.argv[1]))
