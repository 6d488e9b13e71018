"""Compressed bodies, as `Content-Encoding` says; never more of them than a plain one may have."""

import zlib

from werkzeug.exceptions import RequestEntityTooLarge

from store.errors import BadInput

# What zlib calls a window of any size, behind a header that it recognises by itself.
_GZIP_OR_ZLIB = zlib.MAX_WBITS + 32
_COMPRESSED = frozenset({"gzip", "x-gzip", "deflate"})


class UnknownEncoding(BadInput):
    """A body that is compressed in a way that is not read here."""


def decoded(body: bytes, encoding: str, *, most: int) -> bytes:
    """The body as it was before it was compressed, by gzip or zlib, once.

    Raises:
        UnknownEncoding: it was compressed otherwise.
        BadInput: it is not what its encoding says, or ends before its end.
        RequestEntityTooLarge: it is longer than `most` bytes; no more than that is unpacked.
    """
    name = encoding.strip().lower()
    if name in {"", "identity"}:
        return body
    if name not in _COMPRESSED:
        expected = "gzip, deflate or identity"
        raise UnknownEncoding("Content-Encoding", expected=expected, found=name[:40])
    unpacking = zlib.decompressobj(_GZIP_OR_ZLIB)
    try:
        found = unpacking.decompress(body, most + 1)
    except zlib.error as error:
        raise BadInput("the body", expected=f"{name}", found=f"{error}"[:80]) from None
    if len(found) > most:
        raise RequestEntityTooLarge
    if not unpacking.eof or unpacking.unused_data:
        found_instead = "bytes after its end" if unpacking.eof else "an end before its end"
        raise BadInput("the body", expected=f"{name}, whole", found=found_instead)
    return found
