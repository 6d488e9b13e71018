"""Reads the .proto files of this package: the part of proto3 that they use.

protoc would generate modules that register their messages for the whole process, where those of a
client of the same protocol may be registered, too. Messages made of these descriptors are private.
"""

import re
from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    EnumDescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    ServiceDescriptorProto,
)

_TOKENS = re.compile(r"//[^\n]*|\"([^\"]*)\"|([A-Za-z_][\w.]*|\d+|[{}()<>=;,])|(\S)")
_SCALARS = {
    "double": FieldDescriptorProto.TYPE_DOUBLE,
    "float": FieldDescriptorProto.TYPE_FLOAT,
    "int32": FieldDescriptorProto.TYPE_INT32,
    "int64": FieldDescriptorProto.TYPE_INT64,
    "uint32": FieldDescriptorProto.TYPE_UINT32,
    "uint64": FieldDescriptorProto.TYPE_UINT64,
    "bool": FieldDescriptorProto.TYPE_BOOL,
    "string": FieldDescriptorProto.TYPE_STRING,
    "bytes": FieldDescriptorProto.TYPE_BYTES,
}


def parse_proto(name: str, text: str) -> FileDescriptorProto:
    """The descriptor of one file.

    Raises:
        ValueError: it is not written in that part of proto3; says what was expected.
    """
    return _ProtoReader(text).file(name)


class _ProtoReader:
    """Reads the tokens of one file, from the first to the last."""

    def __init__(self, text: str) -> None:
        self._tokens = list(_tokens(text))
        self._place = 0

    def file(self, name: str) -> FileDescriptorProto:
        file = FileDescriptorProto(name=name)
        while self._place < len(self._tokens):
            match self._next():
                case "syntax":
                    self._expect("=")
                    file.syntax = self._next()
                    self._expect(";")
                case "package":
                    file.package = self._next()
                    self._expect(";")
                case "import":
                    file.dependency.append(self._next())
                    self._expect(";")
                case "message":
                    self._message(file.message_type.add())
                case "enum":
                    self._enum(file.enum_type.add())
                case "service":
                    self._service(file.service.add())
                case other:
                    raise ValueError(f"{name}: expected a message or a service, found {other!r}")
        return file

    def _next(self) -> str:
        if self._place == len(self._tokens):
            raise ValueError("expected more, found the end of the file")
        self._place += 1
        return self._tokens[self._place - 1]

    def _takes(self, token: str) -> bool:
        """Whether the next token is this one, which is then passed."""
        is_next = self._tokens[self._place : self._place + 1] == [token]
        self._place += is_next
        return is_next

    def _expect(self, *tokens: str) -> None:
        for token in tokens:
            if (actual := self._next()) != token:
                raise ValueError(f"expected {token!r}, found {actual!r}")

    def _message(self, message: DescriptorProto) -> None:
        message.name = self._next()
        self._expect("{")
        while not self._takes("}"):
            if self._takes("message"):
                self._message(message.nested_type.add())
            elif self._takes("enum"):
                self._enum(message.enum_type.add())
            elif self._takes("oneof"):
                message.oneof_decl.add(name=self._next())
                self._expect("{")
                while not self._takes("}"):
                    self._field(message).oneof_index = len(message.oneof_decl) - 1
            else:
                self._field(message)

    def _field(self, message: DescriptorProto) -> FieldDescriptorProto:
        field = message.field.add(label=FieldDescriptorProto.LABEL_OPTIONAL)
        if self._takes("repeated"):
            field.label = FieldDescriptorProto.LABEL_REPEATED
        if self._takes("map"):
            self._map(message, field)
        else:
            _set_type(field, self._next())
            field.name = self._next()
        self._expect("=")
        field.number = int(self._next())
        self._expect(";")
        return field

    def _map(self, message: DescriptorProto, field: FieldDescriptorProto) -> None:
        """A map, which is a list of messages with a key and a value."""
        entry = message.nested_type.add()
        entry.options.map_entry = True
        self._expect("<")
        for number, name in enumerate(("key", "value"), 1):
            part = entry.field.add(name=name, number=number)
            part.label = FieldDescriptorProto.LABEL_OPTIONAL
            _set_type(part, self._next())
            self._expect(">" if number == 2 else ",")
        field.name = self._next()
        parts = field.name.split("_")
        entry.name = "".join(part.capitalize() for part in parts) + "Entry"
        field.label = FieldDescriptorProto.LABEL_REPEATED
        _set_type(field, entry.name)

    def _enum(self, enum: EnumDescriptorProto) -> None:
        enum.name = self._next()
        self._expect("{")
        while not self._takes("}"):
            name = self._next()
            self._expect("=")
            enum.value.add(name=name, number=int(self._next()))
            self._expect(";")

    def _service(self, service: ServiceDescriptorProto) -> None:
        service.name = self._next()
        self._expect("{")
        while self._takes("rpc"):
            method = service.method.add(name=self._next())
            self._expect("(")
            method.client_streaming = self._takes("stream")
            method.input_type = self._next()
            self._expect(")", "returns", "(")
            method.server_streaming = self._takes("stream")
            method.output_type = self._next()
            self._expect(")", ";")
        self._expect("}")


def _set_type(field: FieldDescriptorProto, name: str) -> None:
    if name in _SCALARS:
        field.type = _SCALARS[name]
    else:
        # Whether it is a message or an enumeration is found out when the file is added to a pool.
        field.type_name = name


def _tokens(text: str) -> Iterator[str]:
    for match in _TOKENS.finditer(text):
        quoted, plain, other = match.groups()
        if other:
            raise ValueError(f"expected a name, a number or a bracket, found {other!r}")
        if quoted is not None or plain:
            yield quoted if plain is None else plain
