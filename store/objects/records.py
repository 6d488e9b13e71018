"""Records: small JSON documents, each of which is what its key says, or is believed by nobody."""

from typing import TypeVar

from pydantic import ValidationError

from overnight.store.errors import CorruptRecord, NotFound
from overnight.store.objects.bucket import Bucket
from overnight.store.values import Value

Record = TypeVar("Record", bound=Value)


def decoded(form: type[Record], body: bytes, key: str) -> Record:
    """What was read under a key.

    Raises:
        CorruptRecord: something else.
    """
    try:
        return form.model_validate_json(body)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "the document"
        told = f"{first['msg']} at {where}"
        raise CorruptRecord(key, expected=f"a valid {form.__name__}", found=told) from None


def read(form: type[Record], bucket: Bucket, key: str) -> Record | None:
    """The record under a key, or None while nobody has written it: one small GET.

    Raises:
        CorruptRecord: something else is there.
    """
    try:
        body = bucket.read(key)
    except NotFound:
        return None
    return decoded(form, body, key)
