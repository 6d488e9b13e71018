"""The chunks of a PNG, checked one by one before a decoder reads any of them."""

import struct
import zlib

from overnight.store.errors import BadPicture, PictureTooLarge
from overnight.store.pictures.headers import PictureHeader

SIGNATURE = b"\x89PNG\r\n\x1a\n"
# The chunks of the pixels, and the one that may say how they are turned. Texts, profiles and
# animations are dropped without being unpacked.
_EXIF = b"eXIf"
_KEPT = frozenset({b"IHDR", b"PLTE", b"tRNS", b"IDAT", b"IEND", _EXIF})
_EXIF_BYTES = 65_536
# Encoders write chunks of 8 kB or more; many tiny ones would only cost time.
_MOST_CHUNKS = 4_096
_WHOLE = "a whole PNG"


def needed_chunks(body: bytes) -> tuple[PictureHeader, bytes]:
    """Size and depth as the header says, and a PNG of the needed chunks alone.

    Raises:
        BadPicture: truncated, or a chunk whose checksum is wrong.
        PictureTooLarge: more EXIF than any camera writes.
    """
    header, kept, start = b"", [SIGNATURE], len(SIGNATURE)
    for _ in range(_MOST_CHUNKS):
        if start + 12 > len(body):
            raise BadPicture(expected=_WHOLE, found=f"an end after {len(body)} bytes")
        (length,) = struct.unpack_from(">I", body, start)
        kind, end = body[start + 4 : start + 8], start + 12 + length
        if end > len(body):
            raise BadPicture(expected=_WHOLE, found=f"an end after {len(body)} bytes")
        if kind == b"IHDR" and header:
            # The first is checked below, but decoders use the last.
            raise BadPicture(expected="one header", found="two")
        if kind in _KEPT:
            kept.append(_checked(body, start, end, kind))
        if not header:
            if kind != b"IHDR" or length != 13:
                raise BadPicture(expected="a PNG's header first", found=repr(kind)[:40])
            header = body[start + 8 : end - 4]
        if kind == b"IEND":
            width, height, depth = struct.unpack_from(">IIB", header)
            return PictureHeader(height, width, depth), b"".join(kept)
        start = end
    raise BadPicture(expected=f"at most {_MOST_CHUNKS} chunks", found="more")


def _checked(body: bytes, start: int, end: int, kind: bytes) -> bytes:
    if kind == _EXIF and end - start > _EXIF_BYTES:
        expected = f"at most {_EXIF_BYTES} bytes of EXIF"
        raise PictureTooLarge(expected=expected, found=f"{end - start}")
    (checksum,) = struct.unpack_from(">I", body, end - 4)
    if zlib.crc32(memoryview(body)[start + 4 : end - 4]) != checksum:
        raise BadPicture(expected=_WHOLE, found=f"a damaged chunk {kind.decode()}")
    return body[start:end]
