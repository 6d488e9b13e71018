"""Sizes of JPEG and WebP pictures, read from their headers before a decoder reserves any memory."""

import struct
from typing import NamedTuple

from overnight.store.errors import BadPicture

JPEG_SIGNATURE = b"\xff\xd8"
# Of encoders, ten; each further scan of a progressive JPEG decodes the whole picture once more.
_MOST_SCANS = 64
_MOST_SEGMENTS = 4_096
_SCAN = 0xDA
# Start of frame, in all its kinds; among their numbers are three markers of tables.
_FRAMES = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_GREY_AND_COLOUR = frozenset({1, 3})
_ANIMATED = 0x02


class PictureHeader(NamedTuple):
    """Height and width in pixels, and bits of a sample."""

    height: int
    width: int
    depth: int


def is_webp(body: bytes) -> bool:
    return body[:4] == b"RIFF" and body[8:12] == b"WEBP"


def jpeg_header(body: bytes) -> PictureHeader:
    """Size and depth of a JPEG.

    Raises:
        BadPicture: no frame where one is expected, colours for print, or far too many scans.
    """
    scans = body.count(bytes((0xFF, _SCAN)))
    if scans > _MOST_SCANS:
        raise BadPicture(expected=f"a JPEG of at most {_MOST_SCANS} scans", found=f"{scans}")
    start = len(JPEG_SIGNATURE)
    for _ in range(_MOST_SEGMENTS):
        if start + 10 > len(body) or body[start] != 0xFF or body[start + 1] == _SCAN:
            break
        if body[start + 1] == 0xFF:
            start += 1
            continue
        if body[start + 1] in _FRAMES:
            depth, height, width, components = struct.unpack_from(">BHHB", body, start + 4)
            if components not in _GREY_AND_COLOUR:
                raise BadPicture(
                    expected="grey or RGB colours",
                    found=f"{components} components, such as CMYK for print; convert it to RGB",
                )
            return PictureHeader(height, width, depth)
        start += 2 + struct.unpack_from(">H", body, start + 2)[0]
    raise BadPicture(expected="a whole JPEG", found=f"no frame in {len(body)} bytes")


def webp_header(body: bytes) -> PictureHeader:
    """Size of a WebP, whose samples always have 8 bits.

    Raises:
        BadPicture: an animation, or no frame where one is expected.
    """
    kind, start = body[12:16], 20
    if len(body) < 30:
        raise BadPicture(expected="a whole WebP", found=f"an end after {len(body)} bytes")
    if kind == b"VP8X":
        if body[start] & _ANIMATED:
            raise BadPicture(expected="one picture", found="an animation")
        width = int.from_bytes(body[start + 4 : start + 7], "little") + 1
        height = int.from_bytes(body[start + 7 : start + 10], "little") + 1
    elif kind == b"VP8 ":
        width, height = (side & 0x3FFF for side in struct.unpack_from("<HH", body, start + 6))
    elif kind == b"VP8L":
        bits = int.from_bytes(body[start + 1 : start + 5], "little")
        width, height = (bits & 0x3FFF) + 1, (bits >> 14 & 0x3FFF) + 1
    else:
        raise BadPicture(expected="a whole WebP", found=f"the chunk {kind!r} first")
    return PictureHeader(height, width, 8)
