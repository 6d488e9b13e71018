"""The network as it was given to us."""

from pathlib import Path

import keras

from overnight.models.training.network import Network

FILE = Path(__file__).with_name("heating.keras")


def build() -> keras.Model:
    return keras.saving.load_model(FILE, compile=False)


NETWORK = Network(build)
