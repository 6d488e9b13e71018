"""Text in any encoding as UTF-8, while it is read."""

import codecs
import io
from collections.abc import Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

from overnight.models.sources.csv_dialect import Csv
from overnight.store.errors import BadFile

_CHUNK_BYTES = 1 << 18
# The longer ones first: UTF-32 begins as UTF-16 does.
_MARKS = (
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)


def as_utf8(file: BinaryIO, dialect: Csv) -> BinaryIO:
    """The bytes of a text file in UTF-8; its byte-order mark may stay."""
    encoding = dialect.encoding
    if encoding is None:
        buffered = io.BufferedReader(cast("io.RawIOBase", file))
        head = buffered.peek(4)[:4]
        encoding = next((name for mark, name in _MARKS if head.startswith(mark)), "utf-8")
        file = cast("BinaryIO", buffered)
    if codecs.lookup(encoding).name == "utf-8":
        # Lines that are no UTF-8 are rejected one by one where they are parsed.
        return file
    return cast("BinaryIO", io.BufferedReader(_Decoded(file, encoding), _CHUNK_BYTES))


@contextmanager
def decoding_errors(name: str, dialect: Csv) -> Iterator[None]:
    """Raise what reading text that is in another encoding raises as BadFile."""
    try:
        yield
    except UnicodeError as error:
        expected = f"text in {dialect.encoding or 'the encoding of its byte-order mark'}"
        raise BadFile(name, expected=expected, found=f"{error}"[:200]) from None


class _Decoded(io.RawIOBase):
    """Reads another encoding as UTF-8."""

    def __init__(self, file: BinaryIO, encoding: str) -> None:
        self._file = file
        self._decoder = codecs.getincrementaldecoder(encoding)()
        self._pending = b""

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        while not self._pending:
            chunk = self._file.read(_CHUNK_BYTES)
            self._pending = self._decoder.decode(chunk, final=not chunk).encode()
            if not chunk:
                break
        n = min(len(buffer), len(self._pending))
        buffer[:n] = self._pending[:n]
        self._pending = self._pending[n:]
        return n
