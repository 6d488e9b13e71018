"""Keeps the network as an MLflow model: `mlflow_form.py keras|onnx NETWORK_FOLDER TARGET`."""

import sys

import mlflow
import numpy as np
from mlflow.models import infer_signature

# Two workers on two cores gain nothing from more threads of ONNX Runtime.
ONE_THREAD = {"intra_op_num_threads": 1, "inter_op_num_threads": 1}


def main(flavour: str, folder: str, target: str) -> None:
    images, answers = np.zeros((1, 28, 28), np.uint8), np.zeros((1, 10), np.float32)
    if flavour == "keras":
        import keras

        network = keras.saving.load_model(folder + "/network.keras")
        signature = infer_signature(images, answers)
        mlflow.keras.save_model(network, target, signature=signature, pip_requirements=[])
    else:
        import onnx

        signature = infer_signature({"image": images}, {"probabilities": answers})
        network = onnx.load(folder + "/network.onnx")
        mlflow.onnx.save_model(
            network,
            target,
            signature=signature,
            onnx_session_options=ONE_THREAD,
            pip_requirements=[],
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
