"""The bucket over any S3 that honours `If-None-Match: *`."""

import random
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar

from overnight.store.errors import (
    AlreadyExists,
    ConfigurationError,
    NotFound,
    StoreDenied,
    StoreUnavailable,
)
from overnight.store.objects import keys

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import ListObjectsV2OutputTypeDef

_Answer = TypeVar("_Answer")
_ABSENT = {"404", "NoSuchKey", "NotFound"}
_LOST = {"412", "PreconditionFailed", "BucketAlreadyOwnedByYou", "BucketAlreadyExists"}
# Time-outs, throttling and a write of the same key under way are 4xx too, and pass.
_AGAIN = {"408", "409", "425", "429"}
# And so is a body that did not arrive as it was sent: the next one may.
_SPOILED = {"BadDigest", "IncompleteBody", "InvalidDigest", "RequestTimeout"}
_DENIED = {
    "401",
    "403",
    "AccessDenied",
    "InvalidAccessKeyId",
    "SignatureDoesNotMatch",
    "NoSuchBucket",
    # Temporary credentials that ran out are told by 400.
    "ExpiredToken",
    "InvalidToken",
    "TokenRefreshRequired",
}


@dataclass(frozen=True)
class S3Address:
    """Where the bucket is and who we are there; secrets never show in a repr.

    `session_token` comes with temporary credentials.
    """

    endpoint: str
    bucket: str
    access_key: str
    secret_key: str = field(repr=False)
    region: str = "us-east-1"
    session_token: str = field(default="", repr=False)


class S3Bucket:
    """A `Bucket` at an S3 endpoint. Safe to share between threads.

    boto3 costs more to import and set up than all else that serving needs, and of the workers of
    a host only one follows the store: so it is imported when something is asked first.
    """

    def __init__(
        self,
        address: S3Address,
        *,
        connect_seconds: float = 3,
        read_seconds: float = 20,
        tries: int = 4,
    ) -> None:
        self.address = address
        self._tries = tries
        self._seconds = connect_seconds, read_seconds
        self._making = threading.Lock()
        self._made: S3Client | None = None

    @property
    def _client(self) -> "S3Client":
        with self._making:
            if self._made is None:
                self._made = self._new_client()
            return self._made

    def _new_client(self) -> "S3Client":
        import boto3
        from botocore.config import Config

        address, (connect_seconds, read_seconds) = self.address, self._seconds
        # Conditional writes contended on one key back off in steps of a second: be patient.
        # Retries are ours, because only we know that a 412 may be the echo of our own write.
        return boto3.client(
            "s3",
            endpoint_url=address.endpoint,
            aws_access_key_id=address.access_key,
            aws_secret_access_key=address.secret_key,
            aws_session_token=address.session_token or None,
            region_name=address.region,
            config=Config(
                signature_version="s3v4",
                s3={"addressing_style": "path"},
                connect_timeout=connect_seconds,
                read_timeout=read_seconds,
                retries={"total_max_attempts": 1, "mode": "standard"},
                max_pool_connections=32,
            ),
        )

    def ensure(self) -> None:
        """Make the bucket when it is missing."""
        try:
            self._ask("", lambda: self._client.head_bucket(Bucket=self.address.bucket))
        except NotFound:
            with suppress(AlreadyExists):
                self._ask("", lambda: self._client.create_bucket(Bucket=self.address.bucket))

    def create(self, key: str, body: bytes) -> None:
        keys.check(key)
        try:
            self._ask(
                key,
                lambda: self._client.put_object(
                    Bucket=self.address.bucket, Key=key, Body=body, IfNoneMatch="*"
                ),
            )
        except AlreadyExists:
            # The response of a write that happened may have been lost: recognise our own.
            if self.read(key) != body:
                raise

    def read(self, key: str) -> bytes:
        keys.check(key)

        def get() -> bytes:
            return self._client.get_object(Bucket=self.address.bucket, Key=key)["Body"].read()

        return self._ask(key, get)

    def keys_below(self, prefix: str) -> list[str]:
        keys.check(prefix)
        found: list[str] = []
        for page in self._pages(prefix + "/", delimiter=""):
            found += [entry["Key"] for entry in page.get("Contents", [])]
        # Listings are complete but not everywhere in byte order.
        return sorted(key for key in found if not key.endswith("/"))

    def names_below(self, prefix: str) -> list[str]:
        keys.check(prefix)
        found: set[str] = set()
        for page in self._pages(prefix + "/", delimiter="/"):
            found |= {entry["Key"] for entry in page.get("Contents", [])}
            found |= {folder["Prefix"] for folder in page.get("CommonPrefixes", [])}
        return sorted({key[len(prefix) + 1 :].strip("/") for key in found} - {""})

    def sizes_below(self, prefix: str) -> dict[str, int]:
        below = f"{keys.check(prefix)}/" if prefix else ""
        found = {
            entry["Key"]: entry["Size"]
            for page in self._pages(below, delimiter="")
            for entry in page.get("Contents", [])
        }
        # Some stores list folders as objects of no bytes.
        return {key: found[key] for key in sorted(found) if found[key] or not key.endswith("/")}

    def remove(self, key: str) -> None:
        self._delete(keys.check_removable(key))

    def discard(self, key: str) -> None:
        self._delete(keys.check_discardable(key))

    def _delete(self, key: str) -> None:
        self._ask(key, lambda: self._client.delete_object(Bucket=self.address.bucket, Key=key))

    def _pages(self, prefix: str, delimiter: str) -> Iterator["ListObjectsV2OutputTypeDef"]:
        pages = self._client.get_paginator("list_objects_v2").paginate(
            Bucket=self.address.bucket, Prefix=prefix, Delimiter=delimiter
        )
        yield from self._ask(prefix, lambda: list(pages))

    def _ask(self, key: str, call: Callable[[], _Answer]) -> _Answer:
        """Ask, and ask again after a jittered wait while the store is merely unavailable."""
        for attempt in range(1, self._tries):
            try:
                with self._worded(key):
                    return call()
            except StoreUnavailable:
                time.sleep(random.uniform(0.1, 0.2 * 2**attempt))
        with self._worded(key):
            return call()

    @contextmanager
    def _worded(self, key: str) -> Iterator[None]:
        """Turn botocore's errors into ours."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            yield
        except ClientError as error:
            code = str(error.response.get("Error", {}).get("Code", ""))
            status = str(error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", ""))
            if code in _DENIED or (status in _DENIED and code not in _ABSENT):
                asked = f"{error.operation_name} {key}".strip()
                raise StoreDenied(self.address.endpoint, code or status, what=asked) from None
            if code in _ABSENT or status == "404":
                raise NotFound(key or self.address.bucket) from None
            if code in _LOST or status in _LOST:
                raise AlreadyExists(key) from None
            if status.startswith("4") and status not in _AGAIN and code not in _SPOILED:
                told = error.response.get("Error", {}).get("Message", "")
                raise ConfigurationError(
                    f"the object store at {self.address.endpoint} cannot take this request "
                    f"({status} {code}: {told}); check OVERNIGHT_S3_BUCKET and its fellows"
                ) from None
            raise StoreUnavailable(self.address.endpoint, f"{status} {code}".strip()) from None
        except BotoCoreError as error:
            raise StoreUnavailable(self.address.endpoint, type(error).__name__) from None
