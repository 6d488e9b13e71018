"""CPU microseconds of one inference with nothing around it: `bare.py litert|onnx SECONDS`."""

import os
import statistics
import sys
import time

import numpy as np

FOLDER = os.environ["NETWORK_FOLDER"]
CHUNK = 500


def litert():
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(model_path=FOLDER + "/network.tflite", num_threads=1)
    interpreter.allocate_tensors()
    (input_detail,), (output_detail,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )

    def infer(image):
        interpreter.set_tensor(input_detail["index"], image)
        interpreter.invoke()
        return interpreter.get_tensor(output_detail["index"])

    return infer


def onnx():
    from runtime import Network

    return Network()


def main(runtime: str, seconds: str) -> None:
    infer = {"litert": litert, "onnx": onnx}[runtime]()
    with np.load(FOLDER + "/sample.npz") as kept:
        images, digits = kept["images"], kept["digits"]
    if any(infer(images[n : n + 1]).argmax() != digits[n] for n in range(len(images))):
        sys.exit(f"{runtime} answers otherwise than Keras")
    chunks_us, end = [], time.monotonic() + float(seconds)
    while time.monotonic() < end:
        began = time.process_time()
        for n in range(CHUNK):
            row = n % len(images)
            infer(images[row : row + 1])
        chunks_us.append((time.process_time() - began) / CHUNK * 1e6)
    print(statistics.median(chunks_us))


if __name__ == "__main__":
    main(*sys.argv[1:])
