"""The binary tensor extension of the Open Inference Protocol v2: JSON first, then raw tensors.

`Inference-Header-Content-Length` tells where the JSON ends. Tensors follow in the order of the
inputs that say `parameters.binary_data_size`, little-endian and row-major.
"""

from typing import Any

import orjson

from overnight.serving.errors import BadInput
from overnight.serving.inference.error_text import kind_of

HEADER = "Inference-Header-Content-Length"
# No longer number is a length of anything, and Python refuses to read the longest.
_DIGITS = 18
# The bytes of an answer, and the length of its JSON when raw tensors follow it.
Encoded = tuple[bytes, int | None]


def split(body: bytes, length: str) -> tuple[bytes, memoryview]:
    """The JSON of a request and the raw tensors behind it.

    Raises:
        BadInput: the header is no length within the body.
    """
    is_number = length.isascii() and length.isdigit() and len(length) <= _DIGITS
    if not is_number or int(length) > len(body):
        expected = f"a number of at most {len(body)}, the bytes of the body"
        raise BadInput(HEADER, expected=expected, found=length[:40])
    return body[: int(length)], memoryview(body)[int(length) :]


def attach(asked: dict[str, Any], raw: memoryview) -> None:
    """Put the raw tensors where their `data` would be.

    Raises:
        BadInput: the sizes are not those of the bytes that were sent.
    """
    start, inputs = 0, asked.get("inputs")
    for place, given in enumerate(inputs if isinstance(inputs, list) else ()):
        size = _parameters(given).get("binary_data_size")
        if size is None:
            continue
        field = f"inputs[{place}].parameters.binary_data_size"
        if type(size) is not int or not 0 <= size <= len(raw) - start:
            expected = f"at most the {len(raw) - start} bytes that are left"
            raise BadInput(field, expected=expected, found=kind_of(size))
        given["data"] = raw[start : start + size]
        start += size
    if start != len(raw):
        expected = f"{start} bytes of tensors, as the inputs say"
        raise BadInput("the body", expected=expected, found=f"{len(raw)}")


def joined(asked: dict[str, Any], answer: dict[str, Any]) -> Encoded:
    """The answer's bytes, and the length of its JSON when raw tensors follow it."""
    all_raw = _parameters(asked).get("binary_data_output") is True
    wanted = asked.get("outputs")
    asked_raw = {
        one.get("name"): _parameters(one).get("binary_data", all_raw) is True
        for one in (wanted if isinstance(wanted, list) else ())
        if isinstance(one, dict)
    }
    parts = []
    for output in answer["outputs"]:
        if asked_raw.get(output["name"], all_raw):
            part = output.pop("data").tobytes()
            output["parameters"] = {"binary_data_size": len(part)}
            parts.append(part)
    text = orjson.dumps(answer, option=orjson.OPT_SERIALIZE_NUMPY)
    return (text + b"".join(parts), len(text)) if parts else (text, None)


def _parameters(holder: object) -> dict[str, Any]:
    parameters = holder.get("parameters") if isinstance(holder, dict) else None
    return parameters if isinstance(parameters, dict) else {}
