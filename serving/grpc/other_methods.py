"""Refuses, in words, what a protocol has elsewhere and nothing here, such as streams."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

import grpc

from overnight.serving.grpc.calls import Context


class OtherMethods:
    """The handler of every method that no other handler has (`grpc.GenericRpcHandler`)."""

    def __init__(self, methods: Mapping[str, Collection[str]]) -> None:
        """`methods` are the names of those that are answered, by service."""
        self._methods = methods

    def service(self, call: Any) -> Any:
        """A handler that ends a call with UNIMPLEMENTED and the names of what may be called."""
        service, _, method = call.method.removeprefix("/").partition("/")
        has = self._methods.get(service)
        if has is None:
            return None

        def refuse(_sent: Iterator[bytes], context: Context) -> None:
            named = ", ".join(sorted(has))
            context.abort(
                grpc.StatusCode.UNIMPLEMENTED,
                f"{service} has no {method[:80]} on this server; it has {named}",
            )

        # A stream on both sides is every kind of call on the wire, and waits for no message.
        return grpc.stream_stream_rpc_method_handler(refuse)
