"""A file that others may read and close, and that stays open for its owner."""

import io
from typing import BinaryIO, cast

_BUFFER_BYTES = 1 << 18


def borrowed(file: BinaryIO) -> BinaryIO:
    """The same bytes from the same position; libraries that close it close nothing else."""
    return cast("BinaryIO", io.BufferedReader(_Borrowed(file), _BUFFER_BYTES))


class _Borrowed(io.RawIOBase):
    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        return self._file.seek(offset, whence)

    def tell(self) -> int:
        return self._file.tell()

    def readinto(self, buffer: "memoryview[int]") -> int:  # type: ignore[override]
        block = self._file.read(len(buffer))
        buffer[: len(block)] = block
        return len(block)
