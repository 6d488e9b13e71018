"""Pictures as rows: formats, colours, resizing where it is declared, and refusals in words."""

import contextlib
import io
import struct

import numpy as np
import pytest
from PIL import ExifTags, Image
from pydantic import ValidationError

from overnight.store.errors import BadPicture, PictureTooLarge
from overnight.store.pictures.declaration import Picture
from overnight.store.pictures.reading import read_picture
from overnight.store.schema import TensorSpec

SMOOTH = np.stack(
    [np.add.outer(np.arange(40), np.arange(60)) * 2 + 20 * channel for channel in range(3)], axis=-1
).astype(np.uint8)


def spec(*shape: int, **picture: object) -> TensorSpec:
    declared = Picture(**picture) if picture else None
    return TensorSpec(name="photo", datatype="UINT8", shape=shape, picture=declared)


def encoded(pixels: np.ndarray, kind: str, mode: str | None = None, **options: object) -> bytes:
    body, image = io.BytesIO(), Image.fromarray(pixels)
    (image.convert(mode) if mode else image).save(body, kind, **options)
    return body.getvalue()


@pytest.mark.parametrize(
    ("kind", "options", "off"),
    [
        ("PNG", {}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 20),
        ("JPEG", {"quality": 95}, 20),
    ],
)
def test_every_format_gives_its_pixels(kind, options, off):
    row = read_picture(encoded(SMOOTH, kind, **options), spec(40, 60, 3))

    assert row.shape == (40, 60, 3)
    assert abs(row.astype(int) - SMOOTH).max() <= off


def test_colour_becomes_grey_and_grey_becomes_colour_as_the_input_has_it():
    grey = read_picture(encoded(SMOOTH, "PNG"), spec(40, 60))
    weights = np.array([0.299, 0.587, 0.114])

    assert abs(grey - SMOOTH @ weights).max() <= 1
    assert np.array_equal(read_picture(encoded(SMOOTH, "PNG"), spec(40, 60, 1))[..., 0], grey)
    assert np.array_equal(
        read_picture(encoded(grey, "PNG"), spec(40, 60, 3)), np.stack([grey] * 3, axis=-1)
    )


@pytest.mark.parametrize("mode", ["P", "1", "LA", "RGBA"])
def test_palettes_bits_and_opaque_alpha_are_read(mode):
    black_and_white = np.where(SMOOTH[..., :1] > 90, 255, 0).repeat(3, axis=-1).astype(np.uint8)

    row = read_picture(encoded(black_and_white, "PNG", mode), spec(40, 60, 3))

    assert np.array_equal(row, black_and_white)


def test_opacity_is_kept_where_the_input_has_it():
    pixels = np.dstack([SMOOTH, SMOOTH[..., 0]])

    assert np.array_equal(read_picture(encoded(pixels, "PNG"), spec(40, 60, 4)), pixels)


def test_what_is_transparent_has_the_declared_background():
    pixels = np.dstack([SMOOTH, np.zeros_like(SMOOTH[..., 0])])
    pixels[:, :30, 3] = 255

    row = read_picture(encoded(pixels, "PNG"), spec(40, 60, 3, background=(10, 20, 30)))

    assert np.array_equal(row[:, :30], SMOOTH[:, :30])
    assert (row[:, 30:] == (10, 20, 30)).all()


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_a_picture_is_read_as_viewers_show_it(kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.ascontiguousarray(np.rot90(SMOOTH, 1))

    row = read_picture(encoded(stored, kind, exif=exif, quality=95), spec(40, 60, 3))

    assert abs(row.astype(int) - SMOOTH).max() <= 20


def halves(height: int, width: int) -> np.ndarray:
    """White on the left, red on the right."""
    pixels = np.full((height, width, 3), 255, np.uint8)
    pixels[:, width // 2 :] = (255, 0, 0)
    return pixels


@pytest.mark.parametrize(
    ("resize", "top", "left", "right"),
    [
        ("fit", (0, 0, 255), (255, 255, 255), (255, 0, 0)),
        ("crop", (255, 255, 255), (255, 255, 255), (255, 0, 0)),
        ("stretch", (255, 255, 255), (255, 255, 255), (255, 0, 0)),
    ],
)
@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_other_sizes_are_resized_as_declared(kind, resize, top, left, right):
    wanted = spec(16, 16, 3, resize=resize, background=(0, 0, 255))

    row = read_picture(encoded(halves(100, 400), kind, quality=95), wanted).astype(int)

    assert row.shape == (16, 16, 3)
    for place, colour in ((row[0, 1], top), (row[8, 1], left), (row[8, 14], right)):
        assert abs(place - colour).max() < 30
    # Of the four sides only "crop" cuts any off: there both colours meet in the middle as well.
    assert abs(row[8, 6] - (255, 255, 255)).max() < 30
    assert abs(row[8, 10] - (255, 0, 0)).max() < 30


def test_small_pictures_are_enlarged_where_resizing_is_declared():
    row = read_picture(encoded(halves(4, 4), "JPEG", quality=95), spec(32, 32, 3, resize="fit"))

    assert row.shape == (32, 32, 3)


def test_a_large_photo_that_lies_on_its_side_is_resized_upright():
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = np.ascontiguousarray(np.rot90(halves(300, 1200), 1))

    body = encoded(stored, "JPEG", exif=exif, quality=95)
    row = read_picture(body, spec(16, 64, 3, resize="stretch")).astype(int)

    assert abs(row[8, 4] - (255, 255, 255)).max() < 10
    assert abs(row[8, 60] - (255, 0, 0)).max() < 10


def cmyk() -> bytes:
    body = io.BytesIO()
    Image.fromarray(SMOOTH).convert("CMYK").save(body, "JPEG")
    return body.getvalue()


def animation(kind: str) -> bytes:
    body = io.BytesIO()
    frames = [Image.fromarray(SMOOTH), Image.fromarray(255 - SMOOTH)]
    frames[0].save(body, kind, save_all=True, append_images=frames[1:])
    return body.getvalue()


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (cmyk(), "expected grey or RGB colours, found 4 components, such as CMYK for print"),
        (encoded((SMOOTH[..., 0] * 80).astype(np.uint16), "PNG"), "at most 8 bits a sample"),
        (animation("WEBP"), "expected one picture, found an animation"),
        (encoded(SMOOTH, "GIF"), "a PNG, JPEG or WebP, found"),
        (encoded(SMOOTH, "JPEG")[:300], "a whole JPEG"),
        (encoded(SMOOTH, "WEBP")[:-20], "a whole W"),
        (b"\xff\xd8\xff\xda" + bytes(40), "a whole JPEG"),
        (b"\xff\xd8" + b"\xff\xda" * 65, "at most 64 scans, found 65"),
        (b"RIFF\x20\0\0\0WEBPXXXX" + bytes(40), "a whole WebP"),
        (encoded(SMOOTH, "JPEG")[:30], "a whole JPEG"),
        (encoded(SMOOTH[:39], "JPEG"), "40 x 60; it is never resized here, found 39 x 60"),
        (encoded(np.dstack([SMOOTH, SMOOTH[..., 0]]), "WEBP", lossless=True), "opaque pixels"),
    ],
)  # fmt: skip
def test_what_cannot_be_read_is_refused_in_words(body, message):
    with pytest.raises(BadPicture, match=message):
        read_picture(body, spec(40, 60, 3))


def jpeg_of(height: int, width: int) -> bytes:
    body = bytearray(encoded(SMOOTH, "JPEG"))
    place = body.index(b"\xff\xc0")
    body[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(body)


def webp_of(height: int, width: int) -> bytes:
    body = bytearray(encoded(np.dstack([SMOOTH, SMOOTH[..., 0]]), "WEBP"))
    assert body[12:16] == b"VP8X"
    body[24:30] = (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    return bytes(body)


@pytest.mark.parametrize("bomb", [jpeg_of(60_000, 60_000), webp_of(16_000, 16_000)])
def test_a_picture_over_the_limit_is_refused_before_it_is_decoded(bomb):
    with pytest.raises(PictureTooLarge, match="at most 16000000 pixels, found"):
        read_picture(bomb, spec(40, 60, 3, resize="fit"))


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_damaged_pictures_are_refused_and_break_nothing(kind):
    chance, whole = np.random.default_rng(5), encoded(SMOOTH, kind)
    for _ in range(200):
        body = bytearray(whole[: chance.integers(1, len(whole) + 1)])
        for place in chance.integers(0, len(body), chance.integers(0, 4)):
            body[place] = chance.integers(256)
        with contextlib.suppress(BadPicture):
            assert read_picture(bytes(body), spec(40, 60, 3)).shape == (40, 60, 3)


def test_a_picture_can_only_be_declared_for_pixels():
    with pytest.raises(ValidationError, match=r"photo: pictures need UINT8 \[h, w\]"):
        spec(784, resize="fit")
