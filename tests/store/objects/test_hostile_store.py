"""A store that sends more than it should, or never ends: what of ours reads it stays small."""

import itertools
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from overnight.store.errors import StoreUnavailable, TooLarge
from overnight.store.objects.bounded_responses import DOCUMENT_BYTES, BoundedResponse
from overnight.store.objects.s3 import S3Address, S3Bucket

LIMIT = 1_000_000
PAGES = 10
BLOCK = b"x" * 65_536
PAGE = (
    '<?xml version="1.0" encoding="UTF-8"?><ListBucketResult><Name>b</Name>{names}'
    "<IsTruncated>true</IsTruncated><NextContinuationToken>{token}</NextContinuationToken>"
    "</ListBucketResult>"
)


class Answer(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    act: Callable[["Answer"], None]

    def do_GET(self) -> None:
        # The client closes the connection in the middle.
        try:
            type(self).act(self)
        except OSError:
            self.close_connection = True

    def begin(self, status: int, **headers: str) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()

    def chunks(self, blocks: Iterator[bytes]) -> None:
        for block in blocks:
            self.wfile.write(b"%x\r\n%b\r\n" % (len(block), block))

    def log_message(self, *_: object) -> None:
        """Silent."""


def endless(answer: Answer, status: int = 200) -> None:
    answer.begin(status, Transfer_Encoding="chunked")
    answer.chunks(itertools.repeat(BLOCK))


def declared_too_long(answer: Answer) -> None:
    answer.begin(200, Content_Length=str(3_000_000_000))
    while True:
        answer.wfile.write(BLOCK)


@pytest.fixture
def bucket_at() -> Iterator[Callable[[Callable[[Answer], None]], S3Bucket]]:
    """Buckets at a store that does the given thing with every request."""
    servers: list[ThreadingHTTPServer] = []

    def start(act: Callable[[Answer], None]) -> S3Bucket:
        server = ThreadingHTTPServer(("127.0.0.1", 0), type("Acting", (Answer,), {"act": act}))
        servers.append(server)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        endpoint = f"http://127.0.0.1:{server.server_port}"
        return S3Bucket(S3Address(endpoint, "b", "AK", "SK"), tries=1, most_pages=PAGES)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("act", [endless, declared_too_long])
def test_of_a_body_that_never_ends_no_more_than_the_limit_is_held(bucket_at, act):
    bucket = bucket_at(act)
    # botocore's own models are loaded with the first request.
    with pytest.raises(TooLarge):
        bucket.read("a", 0)

    tracemalloc.start()
    with pytest.raises(TooLarge, match="a: expected at most 1,000,000 bytes, found"):
        bucket.read("a", LIMIT)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()

    assert peak < 5 * LIMIT


def test_a_shorter_body_than_it_declared_is_no_body(bucket_at):
    def cut(answer: Answer) -> None:
        answer.begin(200, Content_Length="100")
        answer.wfile.write(b"half")
        answer.close_connection = True

    with pytest.raises(StoreUnavailable):
        bucket_at(cut).read("a", LIMIT)


@pytest.mark.parametrize("status", [200, 403, 500])
def test_errors_and_listings_that_never_end_are_given_up(bucket_at, status):
    bucket = bucket_at(lambda answer: endless(answer, status))

    with pytest.raises(TooLarge, match=f"at most {DOCUMENT_BYTES:,} bytes, found more"):
        bucket.keys_below("models")


@pytest.mark.parametrize(
    "names", ["", "<Contents><Key>models/a</Key><Size>1</Size></Contents>"], ids=["empty", "full"]
)
def test_a_listing_whose_pages_never_end_is_given_up(bucket_at, names):
    numbers = itertools.count()

    def page(answer: Answer) -> None:
        body = PAGE.format(names=names, token=next(numbers)).encode()
        answer.begin(200, Content_Length=str(len(body)))
        answer.wfile.write(body)

    bucket = bucket_at(page)

    for listing in (bucket.keys_below, bucket.names_below, bucket.sizes_below):
        with pytest.raises(TooLarge, match="the listing below models"):
            listing("models")
    assert next(numbers) == 3 * PAGES


class Dripping:
    """A body of which one byte comes each ten seconds."""

    def __init__(self) -> None:
        self.seconds = 0.0

    def read1(self, _most: int) -> bytes:
        self.seconds += 10
        return b"x"

    def close(self) -> None:
        """Nothing to close."""


def test_a_body_that_drips_is_given_up_after_a_while():
    drip = Dripping()
    body = BoundedResponse(drip, clock=lambda: drip.seconds)

    with pytest.raises(Exception, match="comes too slowly"):
        body.read(LIMIT)

    assert drip.seconds < 100
