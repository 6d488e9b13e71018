"""The application as granian calls it, without granian: a scope, and a body in blocks."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterable
from dataclasses import dataclass, field
from typing import Any

from flask import Flask

from overnight.serving.rest.server import Server
from tests.support import event_loop


class Headers:
    """Several headers may have one name, as in granian's."""

    def __init__(self, pairs: Iterable[tuple[str, str]]) -> None:
        self._pairs = [(name.lower(), value) for name, value in pairs]

    def items(self) -> list[tuple[str, str]]:
        return self._pairs


@dataclass
class Scope:
    path: str
    headers: Headers
    method: str = "POST"
    client: str = "127.0.0.1:50000"
    server: str = "127.0.0.1:8080"
    authority: str | None = None
    http_version: str = "1.1"
    scheme: str = "http"
    query_string: str = ""


@dataclass
class Answer:
    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Protocol:
    """A body of some blocks; `given` counts those that were taken."""

    blocks: Iterable[bytes]
    given: int = 0
    answer: Answer | None = None
    # A body that is cut, or that never ends.
    ends: bool = True
    began: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self) -> bytes:
        return b"".join([block async for block in self])

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for block in self.blocks:
            self.given += 1
            yield block
            await asyncio.sleep(0)
        self.began.set()
        if not self.ends:
            await asyncio.Event().wait()

    def response_bytes(self, status: int, headers: list[tuple[str, str]], body: bytes) -> None:
        self.answer = Answer(status, {name.lower(): value for name, value in headers}, body)


def scope(path: str, *headers: tuple[str, str], **others: Any) -> Scope:
    """A request with a `Host`, unless it brings one or is told to have none."""
    sent = [("Content-Type", "application/json"), *headers]
    if not any(name.lower() == "host" for name, _ in headers) and "authority" not in others:
        sent.append(("Host", "here"))
    return Scope(path, Headers(sent), **others)


def send(application: Flask, asked: Scope, protocol: Protocol) -> Answer:
    """One request to a server of its own."""

    async def run() -> None:
        server = Server(application)
        server.__rsgi_init__(asyncio.get_running_loop())
        await server.__rsgi__(asked, protocol)
        server.__rsgi_del__(asyncio.get_running_loop())

    event_loop.run(run())
    assert protocol.answer is not None
    return protocol.answer


def post(application: Flask, path: str, body: bytes, *headers: tuple[str, str]) -> Answer:
    """Post a body of known length."""
    length = ("Content-Length", str(len(body)))
    return send(application, scope(path, length, *headers), Protocol([body]))
