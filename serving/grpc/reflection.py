"""Reflection: the services of this server, and the files that describe their messages."""

from typing import Any

import grpc
from google.protobuf.descriptor import FileDescriptor

from overnight.serving.grpc.messages import POOL, SERVICES


def respond(request: Any, response: Any) -> Any:
    """A message of the class `response` that answers one request of a reflection."""
    made = response(valid_host=request.host, original_request=request)
    chosen = request.WhichOneof("message_request")
    try:
        if chosen == "list_services":
            for service in SERVICES:
                made.list_services_response.service.add(name=service)
        elif chosen == "file_by_filename":
            _add(made, POOL.FindFileByName(request.file_by_filename))
        elif chosen == "file_containing_symbol":
            _add(made, POOL.FindFileContainingSymbol(request.file_containing_symbol))
        else:
            _fail(made, grpc.StatusCode.UNIMPLEMENTED, "no message here has extensions")
    except KeyError:
        what = getattr(request, chosen)[:80]
        _fail(made, grpc.StatusCode.NOT_FOUND, f"{what!r} is no file or symbol of this server")
    return made


def _add(made: Any, file: FileDescriptor) -> None:
    """Add a file and all that it depends on, each once, dependencies first."""
    files: dict[str, bytes] = {}

    def collect(each: FileDescriptor) -> None:
        for needed in each.dependencies:
            collect(needed)
        files[each.name] = each.serialized_pb

    collect(file)
    made.file_descriptor_response.file_descriptor_proto.extend(files.values())


def _fail(made: Any, code: grpc.StatusCode, text: str) -> None:
    made.error_response.error_code = code.value[0]
    made.error_response.error_message = text
