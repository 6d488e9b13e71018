"""Objects below a prefix of any S3: listed, and downloaded as they were when they were listed.

An object appears whole or not at all, so each is at rest; one that is replaced between the listing
and the download is another one, which its ETag tells.
"""

import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, cast
from urllib.parse import urlsplit

from overnight.models.errors import SourceUnavailable, UnusableSource
from overnight.models.sources.access import SourceAccess, setting
from overnight.models.sources.local_folder import LeftAlone, NotAtRest, sha256_of
from overnight.store.errors import ConfigurationError

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client

_CONNECT_SECONDS, _READ_SECONDS, _TRIES = 5, 60, 3
_BLOCK_BYTES = 1 << 20
# Larger ones are written to the disk.
_IN_MEMORY_BYTES = 8_000_000
_ARCHIVED = {"GLACIER", "DEEP_ARCHIVE"}


@dataclass(frozen=True)
class S3File:
    """An object as it was listed; `name` is its key from the prefix."""

    prefix: "S3Prefix" = field(repr=False)
    name: str
    size_bytes: int
    mtime_ns: int
    etag: str

    @property
    def place(self) -> str:
        return f"s3://{self.prefix.bucket}/{self.prefix.path}{self.name}"

    def open(self) -> BinaryIO:
        """A local copy, from its beginning.

        Raises:
            NotAtRest: it was replaced since it was listed.
            SourceUnavailable, UnusableSource: it cannot be downloaded.
        """
        with self.prefix.errors(self.name):
            answer = self.prefix.client().get_object(
                Bucket=self.prefix.bucket, Key=self.prefix.path + self.name, IfMatch=self.etag
            )
            copy = tempfile.SpooledTemporaryFile(_IN_MEMORY_BYTES)  # noqa: SIM115 - the caller's
            for block in answer["Body"].iter_chunks(_BLOCK_BYTES):
                copy.write(block)
        copy.seek(0)
        return cast("BinaryIO", copy)

    def read(self) -> bytes:
        """Its bytes; raises as `open`."""
        with self.open() as file:
            return file.read()

    def check(self, file: BinaryIO) -> None:
        """The copy is of one state: there is nothing to check."""

    def digest(self) -> str:
        """The sha256 of its bytes; raises as `open`."""
        with self.open() as file:
            return sha256_of(file)


@dataclass(frozen=True)
class S3Listing:
    """The objects below a prefix by name, and those that cannot be read."""

    files: tuple[S3File, ...]
    left_alone: tuple[LeftAlone, ...]


@dataclass(frozen=True)
class S3Prefix:
    """`s3://bucket/prefix`, for the source of one model."""

    url: str
    access: SourceAccess
    model: str

    def __post_init__(self) -> None:
        """Check the address.

        Raises:
            ConfigurationError: there is no bucket in it.
        """
        if not self.bucket or urlsplit(self.url).scheme != "s3":
            raise ConfigurationError(
                f"{self.model}'s rows: expected an address such as s3://bucket/prefix, found "
                f"{self.url!r}; correct {setting(self.model, 'url')} or the declaration"
            )

    @property
    def bucket(self) -> str:
        return urlsplit(self.url).netloc

    @property
    def path(self) -> str:
        """The prefix with a slash at its end, or empty."""
        path = urlsplit(self.url).path.strip("/")
        return f"{path}/" if path else ""

    def listing(self, *, deep: bool) -> S3Listing:
        """The objects by name; with `deep` those of the folders in the prefix as well.

        Raises:
            SourceUnavailable: the store does not answer.
            UnusableSource: it denies access, or there is no such bucket.
        """
        files, left_alone = [], []
        pages = self.client().get_paginator("list_objects_v2")
        with self.errors(""):
            for page in pages.paginate(Bucket=self.bucket, Prefix=self.path):
                for each in page.get("Contents", ()):
                    name = each["Key"].removeprefix(self.path)
                    parts = name.split("/")
                    if not parts[-1] or any(part.startswith(".") for part in parts):
                        continue
                    if len(parts) > 1 and not deep:
                        continue
                    if each.get("StorageClass") in _ARCHIVED:
                        left_alone.append(LeftAlone(name, "archived; restore it first"))
                        continue
                    mtime_ns = int(each["LastModified"].timestamp() * 1e9)
                    files.append(S3File(self, name, each["Size"], mtime_ns, each["ETag"]))
        files.sort(key=lambda file: file.name)
        return S3Listing(tuple(files), tuple(left_alone))

    def client(self) -> "S3Client":
        """A client with the credentials of the settings, or with those that AWS' tools find."""
        import boto3
        from botocore.config import Config

        access = self.access
        return boto3.client(
            "s3",
            endpoint_url=access.s3_endpoint or None,
            region_name=access.s3_region or ("us-east-1" if access.s3_endpoint else None),
            aws_access_key_id=access.s3_access_key or None,
            aws_secret_access_key=access.s3_secret_key or None,
            aws_session_token=access.s3_session_token or None,
            config=Config(
                # Stores of one's own have no host name for each bucket.
                s3={"addressing_style": "path"} if access.s3_endpoint else {},
                connect_timeout=_CONNECT_SECONDS,
                read_timeout=_READ_SECONDS,
                retries={"total_max_attempts": _TRIES, "mode": "standard"},
            ),
        )

    @contextmanager
    def errors(self, name: str) -> Iterator[None]:
        """Raise what the client raises as the source's errors, without credentials."""
        from botocore import exceptions as s3

        what = f"{self.model}'s rows at s3://{self.bucket}/{self.path}{name}"
        try:
            yield
        except s3.ClientError as error:
            code, status = error.response["Error"].get("Code", ""), _status(error)
            found = self.access.hide(f"{code}: {error.response['Error'].get('Message', '')}")
            if status == 412:
                raise NotAtRest(name) from None
            if status >= 500 or code in {"SlowDown", "RequestTimeout", "Throttling"}:
                raise SourceUnavailable(what, [found], "try again later") from None
            if status == 404 and name:
                raise NotAtRest(name) from None
            raise UnusableSource(
                what,
                expected="a bucket that may be listed and read",
                found=found[:300],
                remedy=f"check {setting(self.model, 's3_access_key')}, …__S3_SECRET_KEY, "
                "…__S3_ENDPOINT, …__S3_REGION and the address",
            ) from None
        except (s3.NoCredentialsError, s3.PartialCredentialsError, s3.NoRegionError) as error:
            raise UnusableSource(
                what,
                expected="credentials and a region",
                found=f"{error}",
                remedy=f"set {setting(self.model, 's3_access_key')}, …__S3_SECRET_KEY and "
                "…__S3_REGION",
            ) from None
        except (s3.BotoCoreError, s3.HTTPClientError, OSError) as error:
            found = self.access.hide(f"{error}")[:300]
            remedy = f"check that it runs, and {setting(self.model, 's3_endpoint')}"
            raise SourceUnavailable(what, [found], remedy) from None


def _status(error: "Exception") -> int:
    response = getattr(error, "response", {})
    return int(response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0))
