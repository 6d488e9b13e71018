"""What tutorials show: Keras loaded at the top, `predict` in a view, Flask's own server."""

import os
import sys

import keras
import numpy as np
from flask import Flask, jsonify, request

application = Flask(__name__)
network = keras.saving.load_model(os.environ["NETWORK_FOLDER"] + "/network.keras")


@application.post("/predict")
def predict():
    image = np.array(request.get_json()["image"], dtype="uint8").reshape(1, 28, 28)
    return jsonify(probabilities=network.predict(image)[0].tolist())


if __name__ == "__main__":
    application.run(port=int(sys.argv[1]))
