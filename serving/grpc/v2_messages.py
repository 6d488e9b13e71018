"""`ModelInfer` of the Open Inference Protocol: from a request to tensors, and to a response.

The request becomes what the JSON of the same protocol becomes, so all rules of HTTP hold. Raw
contents are read where they are; a request with raw contents gets raw ones back.
"""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from overnight.serving.errors import BadInput
from overnight.serving.grpc.messages import (
    InferOutputTensor,
    InferTensorContents,
    ModelInferResponse,
)
from overnight.serving.inference.codecs import v2_json
from overnight.serving.inference.codecs.v2_binary import Encoded, raw_bytes
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.loaded_version import ModelVersion

# The field of the contents that has the values of a datatype.
_FIELDS = {
    "BOOL": "bool_contents",
    "INT8": "int_contents",
    "INT16": "int_contents",
    "INT32": "int_contents",
    "INT64": "int64_contents",
    "UINT8": "uint_contents",
    "UINT16": "uint_contents",
    "UINT32": "uint_contents",
    "UINT64": "uint64_contents",
    "FP32": "fp32_contents",
    "FP64": "fp64_contents",
    "BYTES": "bytes_contents",
}
_WANTS_RAW = "binary_data_output"
# Values of typed messages are of their type: no true or false is among numbers.
_WITHOUT_FLAGS = b""


def inference_of(message: Any, limits: Limits) -> Callable[[ModelVersion], Encoded]:
    """What runs a `ModelInferRequest` on a version, and returns the bytes of the response.

    Raises:
        BadInput: the contents contradict one another; names the field.
    """
    request = request_of(message)
    wants_raw = _wants_raw(request)
    is_raw = bool(message.raw_input_contents) or wants_raw

    def run(loaded: ModelVersion) -> Encoded:
        response = v2_json.infer(request, loaded, limits, text=_WITHOUT_FLAGS)
        encoded: bytes = response_of(response, is_raw=is_raw).SerializeToString()
        return encoded, None

    return run


def request_of(message: Any) -> dict[str, Any]:
    """A `ModelInferRequest` as the JSON of the protocol has it; values are lists or raw bytes.

    Raises:
        BadInput: some inputs are raw and others are not, or contents are of another datatype.
    """
    raw = message.raw_input_contents
    inputs = message.inputs
    if raw and len(raw) != len(inputs):
        expected = f"{len(inputs)}, one for each input, or none"
        raise BadInput("raw_input_contents", expected=expected, found=f"{len(raw)}")
    request: dict[str, Any] = {
        "inputs": [
            _input(tensor, memoryview(raw[place]) if raw else None, place)
            for place, tensor in enumerate(inputs)
        ]
    }
    if message.id:
        request["id"] = message.id
    if message.parameters:
        request["parameters"] = _parameters(message.parameters)
    if message.outputs:
        request["outputs"] = [_requested(output) for output in message.outputs]
    return request


def response_of(response: Mapping[str, Any], *, is_raw: bool) -> Any:
    """A `ModelInferResponse` of a response whose `data` are arrays, or texts."""
    outputs = response["outputs"]
    message = ModelInferResponse(
        model_name=response["model_name"],
        model_version=response["model_version"],
        id=response.get("id"),
        outputs=[_output(output, is_raw=is_raw) for output in outputs],
        raw_output_contents=[raw_bytes(output["data"]) for output in outputs] if is_raw else None,
    )
    for name, value in response.get("parameters", {}).items():
        if isinstance(value, str):
            message.parameters[name].string_param = value
        else:
            message.parameters[name].int64_param = value
    return message


def _input(tensor: Any, raw: memoryview | None, place: int) -> dict[str, Any]:
    made: dict[str, Any] = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(tensor.shape),
    }
    if raw is None:
        made["data"] = _values(tensor, f"inputs[{place}].contents")
    # Clients of MLServer set it without values.
    elif tensor.HasField("contents") and tensor.contents.ListFields():
        expected = "none, as there are raw_input_contents"
        raise BadInput(f"inputs[{place}].contents", expected=expected, found="contents")
    else:
        made["data"] = raw
    if tensor.parameters:
        made["parameters"] = _parameters(tensor.parameters)
    return made


def _requested(output: Any) -> dict[str, Any]:
    if not output.parameters:
        return {"name": output.name}
    return {"name": output.name, "parameters": _parameters(output.parameters)}


def _values(tensor: Any, field: str) -> list[Any] | memoryview:
    """The values in the field of the datatype; texts and pictures as raw bytes."""
    sent = [descriptor.name for descriptor, _ in tensor.contents.ListFields()]
    name = _FIELDS.get(tensor.datatype)
    if name is None:
        # The datatype is refused later, by what the model takes.
        return []
    if sent not in ([name], []):
        expected = f"{name}, as the datatype is {tensor.datatype}"
        raise BadInput(field, expected=expected, found=", ".join(sent))
    values = getattr(tensor.contents, name)
    return memoryview(lengthened(values)) if name == "bytes_contents" else list(values)


def lengthened(values: Iterable[bytes]) -> bytes:
    """Values of bytes as raw contents have them: each after its length in four bytes."""
    return b"".join(len(value).to_bytes(4, "little") + value for value in values)


def _output(output: Mapping[str, Any], *, is_raw: bool) -> Any:
    name, datatype, shape = output["name"], output["datatype"], output["shape"]
    if is_raw:
        return InferOutputTensor(name=name, datatype=datatype, shape=shape)
    data = output["data"]
    values = [text.encode() for text in data] if isinstance(data, list) else data.tolist()
    contents = InferTensorContents(**{_FIELDS[datatype]: values})
    return InferOutputTensor(name=name, datatype=datatype, shape=shape, contents=contents)


def _parameters(parameters: Any) -> dict[str, Any]:
    return {name: _value(parameter) for name, parameter in parameters.items()}


def _value(parameter: Any) -> Any:
    chosen = parameter.WhichOneof("parameter_choice")
    return None if chosen is None else getattr(parameter, chosen)


def _wants_raw(request: Mapping[str, Any]) -> bool:
    wanted = request.get("parameters", {}).get(_WANTS_RAW, False)
    if not isinstance(wanted, bool):
        raise BadInput(f"parameters.{_WANTS_RAW}", expected="true or false", found=f"{wanted}"[:40])
    return wanted
