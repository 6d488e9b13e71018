"""`Predict` and `Classify` of TensorFlow Serving: from its tensors and examples, and back."""

import base64
import math
from collections.abc import Callable, Mapping
from typing import Any

from overnight.serving.errors import BadInput
from overnight.serving.grpc.messages import ClassificationResponse, PredictResponse, TensorProto
from overnight.serving.grpc.v2_messages import lengthened
from overnight.serving.inference.codecs import v1_json, v2_json
from overnight.serving.inference.codecs.v2_binary import Encoded
from overnight.serving.inference.error_text import kind_of
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion
from overnight.store.objects import keys

# By the number of a `DataType`: the datatype of the Open Inference Protocol, and the list that has
# the values of it.
_KINDS = {
    1: ("FP32", "float_val"),
    2: ("FP64", "double_val"),
    3: ("INT32", "int_val"),
    4: ("UINT8", "int_val"),
    5: ("INT16", "int_val"),
    6: ("INT8", "int_val"),
    7: ("BYTES", "string_val"),
    9: ("INT64", "int64_val"),
    10: ("BOOL", "bool_val"),
    17: ("UINT16", "int_val"),
    22: ("UINT32", "uint32_val"),
    23: ("UINT64", "uint64_val"),
}
_NUMBERS = {datatype: number for number, (datatype, _) in _KINDS.items()}
_WITHOUT_FLAGS = b""

Inference = Callable[[ModelVersion], Encoded]


def prediction_of(message: Any, limits: Limits) -> Inference:
    """What runs a `PredictRequest` on a version: all outputs, or those of its filter.

    Raises:
        BadInput: another signature, or a tensor that is not whole.
    """
    signature = message.model_spec.signature_name
    _check_signature(signature)
    request = {
        "inputs": [
            _tensor(name, tensor, limits) for name, tensor in sorted(message.inputs.items())
        ],
        "outputs": [{"name": name} for name in message.output_filter],
    }

    def run(loaded: ModelVersion) -> Encoded:
        response = v2_json.infer(request, loaded, limits, text=_WITHOUT_FLAGS)
        answer = PredictResponse()
        _name_version(answer.model_spec, loaded)
        for output in response["outputs"]:
            answer.outputs[output["name"]].CopyFrom(tensor_proto(output))
        encoded: bytes = answer.SerializeToString()
        return encoded, None

    return run


def classification_of(message: Any, limits: Limits) -> Inference:
    """What runs a `ClassificationRequest` on a version: all classes of each example, with scores.

    Raises:
        BadInput: another signature.
    """
    _check_signature(message.model_spec.signature_name)
    sent = message.input
    request: dict[str, Any] = {"examples": [], "context": {}}
    if sent.WhichOneof("kind") == "example_list_with_context":
        request["context"] = _row(sent.example_list_with_context.context)
        request["examples"] = [_row(each) for each in sent.example_list_with_context.examples]
    else:
        request["examples"] = [_row(example) for example in sent.example_list.examples]

    def run(loaded: ModelVersion) -> Encoded:
        results = v1_json.classify(request, loaded, limits)["results"]
        answer = ClassificationResponse()
        _name_version(answer.model_spec, loaded)
        for classes in results:
            row = answer.result.classifications.add()
            for label, score in classes:
                row.classes.add(label=label, score=score)
        encoded: bytes = answer.SerializeToString()
        return encoded, None

    return run


def tensor_proto(output: Mapping[str, Any]) -> Any:
    """A `TensorProto` of an output with flat `data`: numbers as bytes, texts as a list."""
    tensor = TensorProto(dtype=_NUMBERS[output["datatype"]])
    for side in output["shape"]:
        tensor.tensor_shape.dim.add(size=side)
    data = output["data"]
    if isinstance(data, list):
        tensor.string_val.extend(text.encode() for text in data)
    else:
        tensor.tensor_content = data.tobytes()
    return tensor


def _check_signature(signature: str) -> None:
    if signature not in ("", v1_json.SIGNATURE):
        expected = v1_json.SIGNATURE
        raise BadInput("model_spec.signature_name", expected=expected, found=kind_of(signature))


def _name_version(model_spec: Any, loaded: ModelVersion) -> None:
    model_spec.name = loaded.manifest.model
    model_spec.version.value = keys.number_of(loaded.manifest.version)
    model_spec.signature_name = v1_json.SIGNATURE


def _tensor(name: str, tensor: Any, limits: Limits) -> dict[str, Any]:
    """A `TensorProto` as the other protocol has it: values are a flat list, or raw bytes."""
    datatype, field = _KINDS.get(tensor.dtype, (f"the type {tensor.dtype}", ""))
    shape = [side.size for side in tensor.tensor_shape.dim]
    made: dict[str, Any] = {"name": name, "datatype": datatype, "shape": shape, "data": None}
    if tensor.tensor_content and datatype != "BYTES":
        made["data"] = memoryview(tensor.tensor_content)
    elif field:
        values = list(getattr(tensor, field))
        missing = math.prod(shape) - len(values)
        # The last value stands for all that are missing. More than a body could hold is refused
        # as what it is, too few values.
        if values and 0 < missing <= limits.body_bytes:
            values += values[-1:] * missing
        made["data"] = memoryview(lengthened(values)) if datatype == "BYTES" else values
    return made


def _row(example: Any) -> dict[str, Any]:
    """The features of an example by name, each as a flat list."""
    return {name: _feature(feature) for name, feature in example.features.feature.items()}


def _feature(feature: Any) -> list[Any]:
    chosen = feature.WhichOneof("kind")
    if chosen is None:
        return []
    values = list(getattr(feature, chosen).value)
    return [_text(value) for value in values] if chosen == "bytes_list" else values


def _text(value: bytes) -> str | dict[str, str]:
    """Bytes as a text where they are one, else as JSON has pictures."""
    try:
        return value.decode()
    except UnicodeDecodeError:
        return {"b64": base64.b64encode(value).decode()}
