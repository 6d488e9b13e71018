"""TensorFlow Serving's protocol buffers for status and metadata, as its .proto files number them.

Built here from field lists, so that no test imports TensorFlow. `json_format` refuses every field
that a message has not, and every value of another type.
"""

from google.protobuf import descriptor_pb2, descriptor_pool, json_format, message_factory
from google.protobuf.message import Message

_FIELD = descriptor_pb2.FieldDescriptorProto
_KINDS = {
    "text": _FIELD.TYPE_STRING,
    "int64": _FIELD.TYPE_INT64,
    "bool": _FIELD.TYPE_BOOL,
}
_STATES = {"UNKNOWN": 0, "START": 10, "LOADING": 20, "AVAILABLE": 30, "UNLOADING": 40, "END": 50}
_CODES = {"OK": 0, "CANCELLED": 1, "UNKNOWN": 2, "NOT_FOUND": 5, "UNAVAILABLE": 14}
_DTYPES = {
    "DT_INVALID": 0, "DT_FLOAT": 1, "DT_DOUBLE": 2, "DT_INT32": 3, "DT_UINT8": 4, "DT_INT8": 6,
    "DT_STRING": 7, "DT_INT64": 9, "DT_BOOL": 10,
}  # fmt: skip
_MESSAGES = {
    "StatusProto": {"error_code": "Code", "error_message": "text"},
    "ModelVersionStatus": {"version": "int64", "state": "State", "status": "StatusProto"},
    "GetModelStatusResponse": {"model_version_status": "ModelVersionStatus[]"},
    "ModelSpec": {"name": "text", "version": "int64", "signature_name": "text"},
    "Dim": {"size": "int64", "name": "text"},
    "TensorShapeProto": {"dim": "Dim[]", "unknown_rank": "bool"},
    "TensorInfo": {"name": "text", "dtype": "DataType", "tensor_shape": "TensorShapeProto"},
    "SignatureDef": {"inputs": "TensorInfo{}", "outputs": "TensorInfo{}", "method_name": "text"},
    "SignatureDefMap": {"signature_def": "SignatureDef{}"},
}


def _pool() -> descriptor_pool.DescriptorPool:
    file = descriptor_pb2.FileDescriptorProto(name="serving.proto", package="t", syntax="proto3")
    for name, values in (("State", _STATES), ("Code", _CODES), ("DataType", _DTYPES)):
        enum = file.enum_type.add(name=name)
        for value, number in values.items():
            enum.value.add(name=f"{name}_{value}" if value == "UNKNOWN" else value, number=number)
    for name, fields in _MESSAGES.items():
        message = file.message_type.add(name=name)
        for number, (field, kind) in enumerate(fields.items(), 1):
            _add(message, field, number, kind)
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return pool


def _add(message: descriptor_pb2.DescriptorProto, name: str, number: int, kind: str) -> None:
    label = _FIELD.LABEL_REPEATED if kind.endswith(("[]", "{}")) else _FIELD.LABEL_OPTIONAL
    base = kind.removesuffix("[]")
    if kind.endswith("{}"):
        base = "".join(part.capitalize() for part in name.split("_")) + "Entry"
        entry = message.nested_type.add(name=base)
        entry.options.map_entry = True
        entry.field.add(name="key", number=1, type=_KINDS["text"], label=_FIELD.LABEL_OPTIONAL)
        _add(entry, "value", 2, kind.removesuffix("{}"))
        base = f"{message.name}.{base}"
    field = message.field.add(name=name, number=number, label=label)
    if base in _KINDS:
        field.type = _KINDS[base]
        return
    is_enum = base in {"State", "Code", "DataType"}
    field.type = _FIELD.TYPE_ENUM if is_enum else _FIELD.TYPE_MESSAGE
    field.type_name = f".t.{base}"


_POOL = _pool()


def parsed(name: str, content: object) -> Message:
    """A message from its JSON.

    Raises:
        json_format.ParseError: it has other fields, or values of other types.
    """
    message = message_factory.GetMessageClass(_POOL.FindMessageTypeByName(f"t.{name}"))()
    return json_format.ParseDict(content, message)
