"""`Http` against a real server: unchanged bodies, redirects, credentials, and what is no file."""

import gzip
import os
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from overnight.api import Csv, Delivery, HoldoutShare, Http, Places, StreamedDelivery
from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess
from overnight.store.errors import ConfigurationError
from tests.support.letters_source import LettersDataset

COLUMNS = pa.schema([pa.field("letter", pa.string(), nullable=False)])
BODY = b"letter\na\nb\n"
SECRET = "the-secret-token"
Answer = Callable[[BaseHTTPRequestHandler], None]


@dataclass
class Server:
    """Answers paths by functions, and keeps the headers of each request."""

    url: str = ""
    answers: dict[str, Answer] = field(default_factory=dict)
    asked: list[dict[str, str]] = field(default_factory=list)


def body(content: bytes = BODY, status: int = 200, **headers: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        request.send_response(status)
        declared = {name.replace("_", "-"): value for name, value in headers.items()}
        for name, value in {"content-length": str(len(content)), **declared}.items():
            request.send_header(name, value)
        request.end_headers()
        request.wfile.write(content)

    return answer


def tagged(content: bytes, etag: str) -> Answer:
    def answer(request: BaseHTTPRequestHandler) -> None:
        unchanged = request.headers.get("If-None-Match") == etag
        (body(b"", 304) if unchanged else body(content, etag=etag))(request)

    return answer


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            running.asked.append({n.lower(): v for n, v in self.headers.items()})
            running.answers[self.path](self)

        def log_message(self, *_: Any) -> None:
            """Nothing on the terminal."""

    http = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=http.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    running.url = f"http://127.0.0.1:{http.server_port}"
    yield running
    http.shutdown()
    thread.join()
    http.server_close()


def source(server: Server, folder: Path, path: str = "/rows.csv", **options: Any) -> Http:
    access = options.pop("access", SourceAccess())
    return Http(
        Places(folder=None, cache=folder / "cache", access=access),
        model="letters",
        columns=COLUMNS,
        same_by=("letter",),
        at=server.url + path,
        **({"holdout": None} | options),
    )


def test_what_a_killed_download_left_is_removed_after_a_day(server: Server, tmp_path: Path) -> None:
    server.answers["/rows.csv"] = tagged(BODY, '"1"')
    source(server, tmp_path).deliver(())
    (state,) = (tmp_path / "cache").rglob("state.json")
    old, young = state.with_name("part-old"), state.with_name("part-young")
    for part in (old, young):
        part.write_bytes(b"letter")
    os.utime(old, (1, 1))

    server.answers["/rows.csv"] = tagged(BODY + b"c\n", '"2"')
    source(server, tmp_path).deliver(())

    assert not old.exists()
    assert young.exists()


def test_a_body_is_one_arrival_until_it_changes(server: Server, tmp_path: Path) -> None:
    server.answers["/rows.csv"] = tagged(BODY, '"1"')
    dataset = LettersDataset(tmp_path, source=source(server, tmp_path))

    first, unchanged = dataset.ingest(), dataset.ingest()
    server.answers["/rows.csv"] = tagged(BODY + b"c\n", '"2"')
    second = dataset.ingest()
    server.answers["/rows.csv"] = tagged(BODY + b"c\n", '"3"')
    same_bytes = dataset.ingest()

    assert (first.rows_added, unchanged.arrivals, same_bytes.arrivals) == (2, (), ())
    assert (second.rows_added, second.duplicates) == (1, 2)
    assert [asked.get("if-none-match") for asked in server.asked] == [None, '"1"', '"1"', '"2"']
    assert len(list((tmp_path / "cache").rglob("*"))) == 4


def test_what_is_unchanged_is_read_from_the_cache_unless_that_is_damaged(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/rows.csv"] = tagged(BODY, '"1"')
    declared = source(server, tmp_path)
    delivery = declared.deliver(())
    assert delivery is not None

    again = declared.deliver(())
    (kept,) = (path for path in tmp_path.rglob("*") if path.stat().st_size == len(BODY))
    kept.write_bytes(b"letter\nX\nX\n")
    renewed = declared.deliver(())

    assert delivery == again == renewed
    assert "if-none-match" not in server.asked[-1]


def test_a_long_body_is_streamed(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.answers["/rows.csv.gz"] = body(gzip.compress(BODY))
    monkeypatch.setattr("overnight.models.sources.http._WHOLE_BYTES", 0)

    delivery = source(server, tmp_path, "/rows.csv.gz").deliver(())

    assert isinstance(delivery, StreamedDelivery)
    batches = list(delivery.batches(lambda line: pytest.fail(str(line))))
    assert pa.Table.from_batches(batches).column("letter").to_pylist() == ["a", "b"]
    assert delivery.name == f"http-{delivery.sha256()[:16]}"


def test_a_holdout_is_at_another_address_or_a_share(server: Server, tmp_path: Path) -> None:
    server.answers["/data/rows"] = body()
    server.answers["/data/held.csv"] = body(b"letter\nz\n")
    options: dict[str, Any] = {"path": "/data/rows", "format": Csv()}

    declared = source(server, tmp_path, holdout="held.csv", **options).holdout()
    shared = source(server, tmp_path, holdout=HoldoutShare(0.999999), **options).holdout()

    assert declared.column("letter").to_pylist() == ["z"]
    assert shared.column("letter").to_pylist() == ["a", "b"]


@pytest.mark.parametrize(
    ("answer", "kind", "message"),
    [
        (body(status=404), UnusableSource, "found the status 404. To continue, check OVERNIGHT_SO"),
        (body(status=401), UnusableSource, "401, which refuses the credentials"),
        (body(status=403), UnusableSource, "check OVERNIGHT_SOURCES__LETTERS__USER"),
        (body(status=204), UnusableSource, "the status 204"),
        (body(status=500), SourceUnavailable, "it answered 500"),
        (body(status=503), SourceUnavailable, "it answered 503"),
        (body(status=429), SourceUnavailable, "it answered 429"),
        (body(b"<form>", content_type="text/html; charset=utf-8"), UnusableSource, "page of HTML"),
        (body(b"\n <!DOCTYPE html><p>"), UnusableSource, "a page of HTML"),
        (body(content_length="1000"), SourceUnavailable, "peer closed connection"),
        (body(BODY * 100), UnusableSource, "more than 1,000 bytes"),
        (body(gzip.compress(BODY * 100), content_encoding="gzip"), UnusableSource, "more than 1,0"),
        (body(b"no gzip", content_encoding="gzip"), SourceUnavailable, "incorrect header"),
        (body(status=302, location="/rows.csv"), UnusableSource, "more than 5 redirects"),
        (body(status=302, location="file:///etc/passwd"), UnusableSource, "a redirect to file:"),
    ],
)  # fmt: skip
def test_what_is_no_file_of_rows_lands_nothing_and_is_named(
    server: Server, tmp_path: Path, answer: Answer, kind: type[Exception], message: str
) -> None:
    server.answers["/rows.csv"] = answer

    with pytest.raises(kind, match=message):
        source(server, tmp_path, most_bytes=1_000).deliver(())

    assert not [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]


def test_a_server_that_is_away_or_slow_is_named_with_the_setting(
    server: Server, tmp_path: Path
) -> None:
    server.answers["/rows.csv"] = body()

    with pytest.raises(SourceUnavailable, match=r"Connection refused.*OVERNIGHT_SOURCES__LETTERS"):
        source(Server("http://127.0.0.1:1"), tmp_path).deliver(())
    with pytest.raises(SourceUnavailable, match=r"more than 0 s.*raise `seconds`"):
        source(server, tmp_path, seconds=0).deliver(())
    with pytest.raises(ConfigurationError, match="found 'ftp://host/x'"):
        source(Server("ftp://u:p@host/x"), tmp_path, "").deliver(())


@pytest.mark.parametrize(
    ("access", "sent"),
    [
        (SourceAccess(token=SECRET), f"Bearer {SECRET}"),
        (SourceAccess(user="ann", password="pw"), "Basic YW5uOnB3"),
        (SourceAccess(), None),
    ],
)
def test_credentials_are_sent_to_the_declared_server_alone(
    server: Server, tmp_path: Path, access: SourceAccess, sent: str | None
) -> None:
    elsewhere = server.url.replace("127.0.0.1", "localhost")
    server.answers["/rows.csv"] = body(b"", 307, location="/moved.csv")
    server.answers["/moved.csv"] = body(b"", 307, location=f"{elsewhere}/other.csv")
    server.answers["/other.csv"] = body()

    delivery = source(server, tmp_path, access=access).deliver(())

    assert isinstance(delivery, Delivery)
    assert delivery.files == {"rows.csv": BODY}
    assert [asked.get("authorization") for asked in server.asked] == [sent, sent, None]


def test_no_error_has_a_secret_of_the_address(server: Server, tmp_path: Path) -> None:
    server.answers[f"/rows.csv?key={SECRET}"] = body(status=404)
    access = SourceAccess(url=f"{server.url}/rows.csv?key={SECRET}", password=SECRET, user="ann")

    with pytest.raises(UnusableSource) as raised:
        source(server, tmp_path, access=access).deliver(())

    assert SECRET not in str(raised.value)
    assert SECRET not in repr(access)
    assert access.hide(f"a {SECRET} b") == "a … b"


def test_a_redirect_to_what_only_this_machine_sees_is_refused(tmp_path: Path) -> None:
    # Given a server elsewhere: nothing is sent to it.
    elsewhere = source(Server("https://rows.example"), tmp_path)
    for address in ("169.254.169.254", "[::ffff:169.254.169.254]", "127.0.0.1", "localhost", "0"):
        with pytest.raises(UnusableSource, match="which only this machine sees"):
            elsewhere._check_redirect("http://192.0.2.1/rows.csv", f"http://{address}/x?key=1")

    elsewhere._check_redirect("http://192.0.2.1/rows.csv", "https://192.0.2.2/rows.csv")


def test_a_secret_is_hidden_as_the_address_writes_it() -> None:
    url = "https://u:a%2fb%21c@host/rows.csv?key=x%2fy%21"

    shown = SourceAccess(url=url).hide(f"GET {url}: a/b!c, a%2Fb%21c, x/y!")

    assert shown == "GET https://u:…@host/rows.csv?key=…: …, …, …"
