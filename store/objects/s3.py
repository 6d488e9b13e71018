"""The bucket over any S3 that honours `If-None-Match: *`."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from overnight.store.errors import AlreadyExists, NotFound, StoreUnavailable, TooLarge
from overnight.store.objects import bounded_responses, keys, s3_errors
from overnight.store.objects.proxies import Proxy

if TYPE_CHECKING:
    from botocore.response import StreamingBody
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

_Answer = TypeVar("_Answer")
_BLOCK_BYTES = 1 << 20
# Of a listing: some years of nights have some ten thousands.
_MOST_NAMES = 2_000_000


@dataclass(frozen=True)
class S3Address:
    """The address of a bucket, with credentials; secrets are left out of the repr.

    `session_token` comes with temporary credentials. `authorities` is a PEM file of those that the
    store's certificate may come from; None for those that everybody trusts.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    session_token: str = field(default="", repr=False)
    proxy: Proxy | None = None
    authorities: Path | None = None


class S3Bucket:
    """A `Bucket` at an S3 endpoint, safe to share between threads.

    boto3 is imported with the first request: it costs more to import and set up than everything
    else in serving, and only one worker of a host uses the store.
    """

    def __init__(
        self,
        address: S3Address,
        *,
        connect_seconds: float = 3,
        read_seconds: float = 20,
        tries: int = 4,
        most_pages: int = 10_000,
    ) -> None:
        """`most_pages`: of one listing, each with up to 1,000 names."""
        self.address = address
        self._tries, self._most_pages = tries, most_pages
        self._seconds = connect_seconds, read_seconds
        self._client_lock = threading.Lock()
        self._lazy_client: S3Client | None = None

    @property
    def _client(self) -> "S3Client":
        # Creating a boto3 client is not thread-safe; using one is.
        with self._client_lock:
            if self._lazy_client is None:
                self._lazy_client = self._new_client()
            return self._lazy_client

    def _new_client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        address, (connect_seconds, read_seconds) = self.address, self._seconds
        # boto3 must not retry: after a retry a 412 may stem from our own first write, which only
        # `create` can tell. Servers delay contended conditional writes by a second or more.
        client = boto3.client(
            "s3",
            endpoint_url=address.endpoint,
            aws_access_key_id=address.access_key,
            aws_secret_access_key=address.secret_key,
            aws_session_token=address.session_token or None,
            region_name=address.region,
            verify=str(address.authorities) if address.authorities else None,
            config=Config(
                # Not by its own reading of the environment, which takes `no_proxy` in another way.
                proxies=_proxies(address.proxy),
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=connect_seconds,
                read_timeout=read_seconds,
                retries={"total_max_attempts": 1, "mode": "standard"},
                # More than the threads of any caller: else they would wait for each other.
                max_pool_connections=32,
            ),
        )
        bounded_responses.install(client)
        return client

    def ensure(self) -> None:
        """Create the bucket if it is missing."""
        try:
            self._request("", lambda: self._client.head_bucket(Bucket=self.address.bucket))
        except NotFound:
            with suppress(AlreadyExists):
                self._request("", lambda: self._client.create_bucket(Bucket=self.address.bucket))

    def create(self, key: str, body: bytes) -> None:
        keys.check(key)
        try:
            self._request(
                key,
                lambda: self._client.put_object(
                    Bucket=self.address.bucket, Key=key, Body=body, IfNoneMatch="*"
                ),
            )
        except AlreadyExists:
            # The response of an earlier attempt may have been lost: then these are our bytes.
            if not self._holds(key, body):
                raise

    def _holds(self, key: str, body: bytes) -> bool:
        try:
            return self.read(key, len(body)) == body
        except TooLarge:
            return False

    def read(self, key: str, limit: int) -> bytes:
        keys.check(key)

        def get() -> bytes:
            answer = self._client.get_object(Bucket=self.address.bucket, Key=key)
            # Closed rather than read to its end: the connection of a longer body is given up.
            with closing(answer["Body"]) as body:
                # A chunked answer declares no length.
                if (declared := answer.get("ContentLength") or 0) > limit:
                    raise TooLarge.object(key, limit, declared)
                return _read_within(body, limit, key)

        return self._request(key, get)

    def keys_below(self, prefix: str) -> list[str]:
        keys.check(prefix)
        listed: list[str] = []
        for page in self._pages(prefix + "/", delimiter=""):
            listed += [entry["Key"] for entry in page.get("Contents", [])]
        # Not every store lists in byte order.
        return sorted(key for key in listed if not key.endswith("/"))

    def names_below(self, prefix: str) -> list[str]:
        keys.check(prefix)
        listed: set[str] = set()
        for page in self._pages(prefix + "/", delimiter="/"):
            listed |= {entry["Key"] for entry in page.get("Contents", [])}
            listed |= {folder["Prefix"] for folder in page.get("CommonPrefixes", [])}
        return sorted({key[len(prefix) + 1 :].strip("/") for key in listed} - {""})

    def sizes_below(self, prefix: str) -> dict[str, int]:
        below = f"{keys.check(prefix)}/" if prefix else ""
        sizes = {
            entry["Key"]: entry["Size"]
            for page in self._pages(below, delimiter="")
            for entry in page.get("Contents", [])
        }
        # Some stores list folders as empty objects.
        return {key: sizes[key] for key in sorted(sizes) if sizes[key] or not key.endswith("/")}

    def remove(self, key: str) -> None:
        self._delete(keys.check_removable(key))

    def discard(self, key: str) -> None:
        self._delete(keys.check_discardable(key))

    def _delete(self, key: str) -> None:
        self._request(key, lambda: self._client.delete_object(Bucket=self.address.bucket, Key=key))

    def _pages(self, prefix: str, delimiter: str) -> Iterator["ListObjectsV2OutputTypeDef"]:
        """Every page of a listing; one that does not end is an error.

        Raises:
            TooLarge: it has more pages or names than any bucket needs.
        """
        names, token = 0, ""
        for _ in range(self._most_pages):
            page = self._request(prefix, partial(self._page, prefix, delimiter, token))
            names += len(page.get("Contents", [])) + len(page.get("CommonPrefixes", []))
            if names > _MOST_NAMES:
                break
            yield page
            token = page.get("NextContinuationToken", "")
            if not token:
                return
        raise TooLarge(
            f"the listing below {prefix or 'the bucket'}",
            expected=f"at most {_MOST_NAMES:,} names in {self._most_pages:,} pages",
            found="more",
            remedy="see what lies there, and whether OVERNIGHT_S3_ENDPOINT is the right store",
        )

    def _page(self, prefix: str, delimiter: str, token: str) -> "ListObjectsV2OutputTypeDef":
        if not token:
            return self._client.list_objects_v2(
                Bucket=self.address.bucket, Prefix=prefix, Delimiter=delimiter
            )
        return self._client.list_objects_v2(
            Bucket=self.address.bucket,
            Prefix=prefix,
            Delimiter=delimiter,
            ContinuationToken=token,
        )

    def _request(self, key: str, call: Callable[[], _Answer]) -> _Answer:
        """Send a request, and retry with jittered back-off while the store is unavailable."""
        for attempt in range(1, self._tries):
            try:
                with self._translated_errors(key):
                    return call()
            except StoreUnavailable:
                # Jittered, so that clients that failed together do not come back together.
                time.sleep(random.uniform(0.1, 0.2 * 2**attempt))
        with self._translated_errors(key):
            return call()

    @contextmanager
    def _translated_errors(self, key: str) -> Iterator[None]:
        """Translate botocore's errors into those of the store."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            name = key or self.address.bucket
            raise s3_errors.of_response(
                error, self.address.endpoint, name=name, proxy=self.address.proxy
            ) from None
        except BotoCoreError as error:
            raise s3_errors.of_connection(
                error, self.address.endpoint, proxy=self.address.proxy
            ) from None


def _proxies(proxy: Proxy | None) -> dict[str, str]:
    return {} if proxy is None else {"http": proxy.url, "https": proxy.url}


def _read_within(body: "StreamingBody", limit: int, key: str) -> bytes:
    """A body in blocks, whatever length it declared."""
    blocks, received = [], 0
    # To the empty block at the end, at which length and checksum are compared.
    while block := body.read(_BLOCK_BYTES):
        received += len(block)
        if received > limit:
            raise TooLarge.object(key, limit)
        blocks.append(block)
    return b"".join(blocks)
