"""Writes the network as ONNX: `onnx_form.py onnx NETWORK_FOLDER TARGET`.

Built operator by operator instead of converted: channels come first throughout, so that ONNX
Runtime has no transposition to do.
"""

import sys

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


def main(_flavour: str, folder: str, target: str) -> None:
    with np.load(folder + "/weights.npz") as kept:
        first, first_bias, second, second_bias, dense, dense_bias, last, last_bias = (
            kept[name] for name in kept.files
        )
    # Keras flattens rows, columns, channels; here channels come first.
    dense = dense.reshape(12, 12, 64, 128).transpose(2, 0, 1, 3).reshape(-1, 128)
    constants = {
        "scale": np.float32(1 / 255),
        "pixels": np.array([-1, 1, 28, 28], np.int64),
        "first": first.transpose(3, 2, 0, 1),
        "first_bias": first_bias,
        "second": second.transpose(3, 2, 0, 1),
        "second_bias": second_bias,
        "dense": dense,
        "dense_bias": dense_bias,
        "last": last,
        "last_bias": last_bias,
    }
    node = helper.make_node
    nodes = [
        node("Cast", ["image"], ["floats"], to=TensorProto.FLOAT),
        node("Mul", ["floats", "scale"], ["scaled"]),
        node("Reshape", ["scaled", "pixels"], ["seen"]),
        node("Conv", ["seen", "first", "first_bias"], ["a"]),
        node("Relu", ["a"], ["b"]),
        node("Conv", ["b", "second", "second_bias"], ["c"]),
        node("Relu", ["c"], ["d"]),
        node("MaxPool", ["d"], ["e"], kernel_shape=[2, 2], strides=[2, 2]),
        node("Flatten", ["e"], ["f"]),
        node("Gemm", ["f", "dense", "dense_bias"], ["g"]),
        node("Relu", ["g"], ["h"]),
        node("Gemm", ["h", "last", "last_bias"], ["i"]),
        node("Softmax", ["i"], ["probabilities"], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "classic",
        [helper.make_tensor_value_info("image", TensorProto.UINT8, ["n", 28, 28])],
        [helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, ["n", 10])],
        [numpy_helper.from_array(np.asarray(array), name) for name, array in constants.items()],
    )
    network = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.checker.check_model(network, full_check=True)
    onnx.save(network, target)


if __name__ == "__main__":
    main(*sys.argv[1:])
