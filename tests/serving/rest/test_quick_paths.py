"""Which requests the event loop answers itself: quick ones, while a slot is free."""

import asyncio
import json

import pytest

from overnight.serving.rest.quick_paths import QuickPaths
from overnight.serving.rest.server import Server
from tests.support import event_loop
from tests.support.serving.clients import IMAGES, INFER, application_of, v2
from tests.support.serving.server_in_memory import Protocol, scope

BODY = json.dumps(v2(IMAGES[:1])).encode()


def of(path: str, **headers: str) -> dict[str, str]:
    return {"PATH_INFO": path, **headers}


def test_a_path_is_quick_while_its_requests_take_little_on_average():
    paths = QuickPaths()

    unknown = paths.has(of(INFER))
    paths.note(of(INFER), 0.0005)
    quick = paths.has(of(INFER))
    paths.note(of(INFER), 0.02)
    slow = paths.has(of(INFER))
    for _ in range(20):
        paths.note(of(INFER), 0.0001)

    assert (unknown, quick, slow, paths.has(of(INFER))) == (False, True, False, True)


def test_what_may_be_unpacked_and_pages_are_never_quick():
    paths = QuickPaths()
    for path in (INFER, "/docs"):
        paths.note(of(path), 0.0001)

    assert not paths.has(of(INFER, HTTP_CONTENT_ENCODING="gzip"))
    assert not paths.has(of("/docs"))


def test_a_bounded_number_of_paths_is_remembered():
    paths = QuickPaths()

    for number in range(1_001):
        paths.note(of(f"/v2/{number}"), 0.0001)

    assert [paths.has(of(f"/v2/{number}")) for number in (0, 999, 1_000)] == [True, True, False]


@pytest.mark.parametrize(("quick", "taken", "threads"), [(True, 0, 0), (True, 2, 1), (False, 0, 1)])
def test_a_quick_request_needs_no_thread_and_waits_for_no_slot(quick, taken, threads):
    server = Server(application_of().application)
    protocol = Protocol([BODY])
    if quick:
        server._quick.note(of(INFER), 0.0001)
    for _ in range(taken):
        assert server._admission.take_slot()

    async def run() -> int:
        server.__rsgi_init__(asyncio.get_running_loop())
        asked = server.__rsgi__(scope(INFER, ("Content-Length", str(len(BODY)))), protocol)
        running = asyncio.ensure_future(asked)
        await asyncio.sleep(0.05)
        started = len(server._threads._threads)
        for _ in range(taken):
            server._admission.return_slot()
        await running
        server.__rsgi_del__(asyncio.get_running_loop())
        return started

    started = event_loop.run(run())

    assert started == threads
    assert protocol.answer.status == 200
    assert server._admission.take_slot()
    assert server._admission.take_slot()
    assert not server._admission.take_slot()
