"""Refresh requests: the leader polls at once, but at a bounded rate."""

import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.lifecycle.watcher import REFRESH_SECONDS
from overnight.tasks.release.confirm import notify
from tests.support.s3_server import free_ports
from tests.support.serving import bundles
from tests.support.serving.stepped_host import Flaky, answers, promote, settle
from tests.support.waiting import until

REFRESH = "/api/models/digits/refresh"


class Counting(Flaky):
    """A bucket that counts all reads of it."""

    reads = 0

    def read(self, key: str, limit: int) -> bytes:
        self.reads += 1
        return super().read(key, limit)


@pytest.fixture
def bucket() -> Counting:
    return Counting()


@pytest.fixture
def agent(worker, bucket, log):
    """A host that serves version 1, and would next poll the store in thirty years."""
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    agent = worker(poll_seconds=1e9)
    settle(agent)
    assert answers(agent) == bundles.version_name(1)
    # The poll right after an activation is the last one until then.
    settle(agent)
    return agent


def _moves(agent) -> str:
    settle(agent, ticks=1)
    return answers(agent)


def test_a_refresh_request_makes_the_leader_poll_before_it_is_due(agent, log):
    promote(log, 2)
    settle(agent, ticks=10)
    assert answers(agent) == bundles.version_name(1)

    agent.slots.find(bundles.MODEL).shared.request_refresh()

    until(lambda: _moves(agent) == bundles.version_name(2), what="version 2 answers")


def test_any_worker_can_request_a_refresh(agent, worker, log):
    promote(log, 2)
    mate = worker(poll_seconds=3_600.0)

    mate.slots.find(bundles.MODEL).shared.request_refresh()

    def both() -> set[str]:
        settle(agent, mate, ticks=1)
        return {answers(agent), answers(mate)}

    until(lambda: both() == {bundles.version_name(2)}, what="both answer with version 2")


def test_the_leader_rests_briefly_enough_to_see_a_request(agent):
    assert agent.tick_leader() <= REFRESH_SECONDS


def test_many_refresh_requests_cause_few_polls(agent, bucket):
    # Given a first poll that a request has caused.
    shared = agent.slots.find(bundles.MODEL).shared
    shared.request_refresh()
    until(lambda: (settle(agent, ticks=1), bucket.reads)[1] > 0)
    agent._watchers[bundles.MODEL]._clock = lambda: 1_000_000.0
    agent._watchers[bundles.MODEL]._polled_at = 1_000_000.0 - REFRESH_SECONDS / 2
    agent._watchers[bundles.MODEL]._due = 1_003_600.0

    # When a thousand more come within the same twentieth of a second.
    before = bucket.reads
    for _ in range(1_000):
        shared.request_refresh()
        agent._watchers[bundles.MODEL].tick()
    assert bucket.reads == before

    # Then all of them together cause one poll, once it is over.
    agent._watchers[bundles.MODEL]._clock = lambda: 1_000_000.0 + REFRESH_SECONDS
    for _ in range(10):
        agent._watchers[bundles.MODEL].tick()
    assert bucket.reads == before + 1


def test_a_file_of_an_older_release_with_fewer_numbers_is_extended(tmp_path):
    old = tmp_path / "board"
    old.write_bytes((7).to_bytes(8, "little") + bytes(16))

    shared = SharedGeneration.open(old)
    shared.request_refresh()

    assert (shared.current, SharedGeneration.open(old).refresh_requests) == (7, 1)


def test_the_refresh_route_needs_no_token(client):
    response = client.post(REFRESH)

    assert response.status_code == 202
    assert response.json == {"model": "digits", "refreshing": True}
    assert response.headers["Cache-Control"] == "no-store"


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [
        ("GET", REFRESH, 405),
        ("POST", "/api/models/nothing/refresh", 404),
        ("POST", "/api/models/..%2f..%2fetc/refresh", 404),
    ],
)
def test_refreshing_an_unknown_model_is_not_found(client, method, path, status):
    response = client.open(path, method=method)

    assert response.status_code == status
    assert response.content_type == "application/problem+json"


@pytest.fixture
def receiver():
    """A server that notes what is posted to it, and answers with a status of the test's choice."""

    class Answering(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            server.paths.append(self.path)
            self.send_response(server.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Answering)
    server.paths, server.status = [], 202
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("below", "path"), [("", REFRESH), ("/", REFRESH), ("/serving/", f"/serving{REFRESH}")]
)
def test_serving_is_notified_of_a_promotion_below_any_path(receiver, below, path):
    assert notify(f"http://127.0.0.1:{receiver.server_port}{below}", "digits") is None
    assert receiver.paths == [path]


def test_a_failed_notification_is_reported(receiver):
    receiver.status = 500
    (nowhere,) = free_ports(1)

    assert "answered 500" in notify(f"http://127.0.0.1:{receiver.server_port}", "digits")
    assert "could not be notified" in notify(f"http://127.0.0.1:{nowhere}", "digits")
