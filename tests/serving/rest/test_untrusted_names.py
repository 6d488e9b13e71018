"""Names sent by clients are validated before they reach a file, a key or a log."""

import re
import sys
from collections.abc import Iterator

import pytest

from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.serving.rest.static_files import static_path
from overnight.store.objects.memory import MemoryBucket
from tests.support.serving import bundles
from tests.support.serving.clients import application_of
from tests.support.signing_keys import signing_registry

ADMIN = {"Authorization": "Bearer " + "a" * 32}
# WSGI servers pass decoded paths: `%2e%2e%2f` has become `../`.
NAMES = [
    "..",
    "../../etc/passwd",
    "..%2f..%2fetc%2fpasswd",
    "%2e%2e%2f%2e%2e%2fetc%2fpasswd",
    "%252e%252e%252fetc",
    "..%5c..%5cwindows",
    "%2fetc%2fpasswd",
    "digits%00",
    "digits%00.json",
    "digits%2f..%2fdigits",
    "digits%0d%0aX-Injected:%20yes",
    "d%C3%ADgits",
    "%EF%BC%8E%EF%BC%8E",
    "%ff%fe",
    "%F0%9F%92%A9",
    "DIGITS",
    "digits ",
    "digits;ls",
    "$(ls)",
    "{}",
    "x" * 10_000,
]
# Arrivals are named by whoever delivers them, so the store is asked for these.
ARRIVALS = {"DIGITS"}

FILE_EVENTS = {"open", "os.listdir", "os.scandir", "os.mkdir", "os.rename", "os.remove"}
TELLTALES = ("..", "etc", "passwd", "\0", "DIGITS", "$(ls)", "x" * 1_000)


class Watched(MemoryBucket):
    """A bucket that records the requested keys."""

    def __init__(self) -> None:
        super().__init__()
        self.requested: list[str] = []

    def read(self, key: str, limit: int) -> bytes:
        self.requested.append(key)
        return super().read(key, limit)

    def names_below(self, prefix: str) -> list[str]:
        self.requested.append(prefix)
        return super().names_below(prefix)

    def create(self, key: str, body: bytes) -> None:
        self.requested.append(key)
        super().create(key, body)


@pytest.fixture(scope="module")
def bucket() -> Watched:
    return Watched()


@pytest.fixture(scope="module")
def client(bucket):
    return application_of(administrators=Tokens(token="a" * 32), registry=signing_registry(bucket))


def _routes(client) -> list[tuple[str, str, str]]:
    """Method, path and parameter of every rule of the application."""
    return [
        (method, rule.rule, argument)
        for rule in client.application.url_map.iter_rules()
        for argument in sorted(rule.arguments)
        for method in sorted((rule.methods or set()) - {"HEAD", "OPTIONS"})
    ]


def _filled(rule: str, argument: str, name: str) -> str:
    """The path with `name` for one parameter, and existing names for the others."""
    known = {"model": "digits", "version": bundles.version_name(1), "label": "champion"}

    def fill(match: re.Match[str]) -> str:
        part = match[1].rpartition(":")[2]
        return name if part == argument else known.get(part, "x")

    return re.sub(r"<([^>]+)>", fill, rule)


@pytest.fixture
def touched() -> Iterator[list[str]]:
    """Names of all files that Python opens, lists, renames or removes during a test."""
    names: list[str] = []
    watching = True

    def note(event: str, arguments: tuple[object, ...]) -> None:
        # Audit hooks cannot be removed, only made to do nothing.
        if watching and event in FILE_EVENTS:
            names.extend(str(argument) for argument in arguments)

    sys.addaudithook(note)
    yield names
    watching = False


def test_malicious_names_reach_neither_store_nor_files(client, bucket, touched):
    routes = _routes(client)

    for method, rule, argument in routes:
        for name in NAMES:
            if argument == "arrival" and name in ARRIVALS:
                continue
            address = _filled(rule, argument, name)
            response = client.open(address, method=method, json={"reason": "x"}, headers=ADMIN)
            with response:
                where = (method, address[:200], response.status_code)
                assert response.status_code in {308, 400, 404, 405, 414}, where
                assert len(response.get_data()) < 4_000, where
                assert "X-Injected" not in response.headers, where
                assert b"root:" not in response.get_data(), where

    assert {rule for _, rule, _ in routes} >= {
        "/v2/models/<model>/infer",
        "/v1/models/<name:model>:predict",
        "/api/models/<model>",
        f"{static_path()}/<path:filename>",
    }
    assert not bucket.requested
    assert not [name for name in touched if any(part in name for part in TELLTALES)]


def test_static_files_allow_no_path_traversal(client):
    for name in ("../application.py", "..%2fapplication.py", "%2e%2e/wsgi.py", "./../__main__.py",
                 "%2fetc%2fpasswd", "..%5capplication.py", "page.css%00.js"):  # fmt: skip
        with client.get(f"{static_path()}/{name}") as response:
            assert response.status_code == 404


@pytest.mark.parametrize(
    "name", ["../../etc", "x" * 10_000, "a\u0000b", "Ⅷ", "a/b", 7, None, [], {}]
)
def test_a_version_in_a_body_is_validated_before_any_request_to_the_store(client, bucket, name):
    response = client.post(
        "/api/models/digits/rollback",
        json={"reason": "x", "to": name, "expected": name},
        headers=ADMIN,
    )

    assert response.status_code in ({400} if name is not None else {400, 404, 409})
    assert all(key.startswith("models/digits/") for key in bucket.requested)
    assert len(response.get_data()) < 4_000
