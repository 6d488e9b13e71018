"""Validated JSON records; what does not parse as the record that its key names is rejected."""

from typing import TypeVar

from pydantic import ValidationError

from overnight.store.errors import CorruptRecord, NotFound, TooLarge
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.size_limits import RECORD_BYTES
from overnight.store.values import Value

Record = TypeVar("Record", bound=Value)


def validation_summary(error: ValidationError) -> tuple[str, str]:
    """Where in a document the first validation error is, and what is wrong there."""
    first = error.errors()[0]
    return ".".join(map(str, first["loc"])) or "the document", first["msg"]


def decoded(form: type[Record], body: bytes, key: str) -> Record:
    """Parse the body that was read under a key.

    Raises:
        CorruptRecord: it is not a record of this form.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        where, problem = validation_summary(error)
        raise CorruptRecord(
            key, expected=f"a valid {form.__name__}", found=f"{problem} at {where}"
        ) from None


def read(form: type[Record], bucket: Bucket, key: str) -> Record | None:
    """The record under a key, or None when there is none: one small GET.

    Raises:
        CorruptRecord: the object is not a record of this form.
    """
    try:
        return existing(form, bucket, key)
    except NotFound:
        # Not None when it is invalid: a damaged decision must not read as an open one.
        return None


def existing(form: type[Record], bucket: Bucket, key: str) -> Record:
    """The record under a key that was listed, or that another writer was first to create.

    Raises:
        NotFound: there is none, or none any more.
        CorruptRecord: the object is not a record of this form.
    """
    return decoded(form, body_of(form, bucket, key), key)


def body_of(form: type[Value], bucket: Bucket, key: str) -> bytes:
    """The bytes of a record, before they are parsed.

    Raises:
        NotFound: there is none.
        CorruptRecord: it is longer than any record.
    """
    try:
        return bucket.read(key, RECORD_BYTES)
    except TooLarge as error:
        raise CorruptRecord(
            key, expected=f"a {form.__name__} of {error.expected}", found=error.found
        ) from None
