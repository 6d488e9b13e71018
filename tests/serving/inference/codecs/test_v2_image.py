"""Raw PNG bodies: accepted forms, refusals with their reason, and limits against image bombs."""

import io
import resource
import struct
import zlib

import numpy as np
import pytest
from flask.testing import FlaskClient
from PIL import Image, PngImagePlugin

from overnight.serving.inference.limits import Limits
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.clients import EXPECTED, IMAGES, INFER, PREDICT, VERSION, application_of

SIGNATURE = b"\x89PNG\r\n\x1a\n"
NAMED = f"/v2/models/digits/versions/{VERSION}/infer"


def png(pixels: np.ndarray = IMAGES[0], mode: str | None = None, **options: object) -> bytes:
    body, picture = io.BytesIO(), Image.fromarray(pixels)
    (picture.convert(mode) if mode else picture).save(body, "PNG", **options)
    return body.getvalue()


def chunk(kind: bytes, content: bytes = b"") -> bytes:
    checksum = zlib.crc32(kind + content)
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", checksum)


def header(width: int = 28, height: int = 28, depth: int = 8, colour: int = 0, lace: int = 0):
    return chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, lace))


def by_hand(pixels: np.ndarray, **fields: int) -> bytes:
    """A PNG whose lines have no filter."""
    lines = b"".join(b"\0" + line.tobytes() for line in pixels)
    return SIGNATURE + header(**fields) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND")


def interlaced(pixels: np.ndarray) -> bytes:
    """The same image, interlaced by Adam7."""
    passes = (
        (0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4),
        (0, 2, 4, 4), (2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1),
    )  # fmt: skip
    lines = b"".join(
        b"\0" + line.tobytes() for y, x, down, right in passes for line in pixels[y::down, x::right]
    )
    return SIGNATURE + header(lace=1) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND")


def post(client: FlaskClient, body: bytes, path: str = INFER, **headers: str):
    return client.post(path, data=body, content_type="image/png", headers=headers)


def probabilities(response) -> np.ndarray:
    assert response.status_code == 200, response.data
    return np.array(response.json["outputs"][0]["data"], np.float32)


@pytest.mark.parametrize("path", [INFER, NAMED])
def test_a_png_gives_the_predictions_of_its_pixels(client, path):
    response = post(client, png(), path)

    assert np.allclose(probabilities(response), EXPECTED[0], atol=1e-6)
    assert response.headers["X-Model-Version"] == VERSION
    assert response.json["outputs"][0]["shape"] == [1, 10]


@pytest.mark.parametrize("path", [INFER, NAMED])
def test_accept_octet_stream_returns_raw_tensors(client, path):
    response = post(client, png(), path, Accept="application/octet-stream, */*;q=0.1")

    end = int(response.headers["Inference-Header-Content-Length"])
    assert response.content_type == "application/octet-stream"
    raw = response.data[end:]
    assert np.allclose(np.frombuffer(raw[: EXPECTED[0].nbytes], "<f4"), EXPECTED[0], atol=1e-6)
    assert raw[EXPECTED[0].nbytes :] == (IMAGES[0] // 2).tobytes()


@pytest.mark.parametrize(
    "body",
    [
        png(mode="RGB"),
        png(mode="P"),
        png(mode="LA"),
        png(mode="RGBA"),
        png(optimize=True),
        by_hand(IMAGES[0]),
        interlaced(IMAGES[0]),
        png() + b"whatever follows the end",
    ],
    ids=[
        "RGB",
        "palette",
        "grey and opaque",
        "RGB and opaque",
        "small",
        "plain",
        "laced",
        "longer",
    ],
)
def test_every_png_encoding_of_the_same_pixels_gives_the_same_predictions(client, body):
    assert np.allclose(probabilities(post(client, body)), EXPECTED[0], atol=1e-6)


def test_one_bit_images_become_0_and_255(client):
    black_and_white = (IMAGES[0] > 9).astype(np.uint8) * 255
    expected = bundles.probabilities(1, black_and_white[None])[0]

    assert np.allclose(probabilities(post(client, png(black_and_white, "1"))), expected, atol=1e-6)


def turned(pixels: np.ndarray, orientation: int) -> bytes:
    """A picture that EXIF says is turned (6: viewers turn it by 90 degrees clockwise)."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    return png(pixels, exif=exif)


@pytest.mark.parametrize(("orientation", "turns"), [(1, 0), (6, 1), (3, 2), (8, 3)])
def test_an_image_is_read_as_viewers_show_it(client, orientation, turns):
    stored = np.rot90(IMAGES[0], turns)

    response = post(client, turned(np.ascontiguousarray(stored), orientation))

    assert np.allclose(probabilities(response), EXPECTED[0], atol=1e-6)


@pytest.mark.parametrize(
    ("exif", "code"),
    [(b"II*\0" + b"\xff" * 40, 400), (b"no exif", 400), (b"MM\0*" + bytes(70_000), 413)],
    ids=["damaged", "none", "endless"],
)
def test_an_image_that_may_be_turned_anyhow_is_refused(client, exif, code):
    whole = png()

    response = post(client, whole[:33] + chunk(b"eXIf", exif) + whole[33:])

    assert response.status_code == code


def test_colour_is_kept_for_a_model_with_colour_inputs():
    from overnight.serving.inference.codecs import v2_image

    pixels = np.random.default_rng(2).integers(0, 256, (28, 28, 3), dtype=np.uint8)
    spec = TensorSpec(name="image", datatype="UINT8", shape=(28, 28, 3))

    assert np.array_equal(v2_image.read(png(pixels), spec, Limits())[0], pixels)
    grey = v2_image.read(png(IMAGES[0]), spec, Limits())[0]
    assert np.array_equal(grey, np.repeat(IMAGES[0][:, :, None], 3, axis=2))


def _flipped() -> bytes:
    body = bytearray(png())
    body[50] ^= 1
    return bytes(body)


def _transparent() -> bytes:
    pixels = np.full((28, 28, 4), 255, np.uint8)
    pixels[3, 3, 3] = 254
    return png(pixels)


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "a PNG, JPEG or WebP, found 0 bytes"),
        (b"GIF89a" + bytes(100), "a PNG, JPEG or WebP, found 106 bytes"),
        (SIGNATURE, "a whole PNG"),
        (png()[:60], "a whole PNG"),
        (png()[:-12], "a whole PNG"),
        (png()[:-1], "a whole PNG"),
        (png().replace(b"IDAT", b"IDAX", 1), "a whole PNG"),
        (_flipped(), "a damaged chunk IDAT"),
        (SIGNATURE + chunk(b"IDAT") + chunk(b"IEND"), "a PNG's header first"),
        (SIGNATURE + header() + chunk(b"IEND"), "a whole PNG"),
        (SIGNATURE + header() + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND"), "a whole"),
        (SIGNATURE + header() + chunk(b"IDAT", b"no zlib") + chunk(b"IEND"), "a whole PNG"),
        (SIGNATURE + header(colour=5) + chunk(b"IDAT") + chunk(b"IEND"), "a whole PNG"),
        (SIGNATURE + b"\xff\xff\xff\xffIHDR" + bytes(50), "a whole PNG"),
        (png(np.zeros((28, 27), np.uint8)), "height x width 28 x 28; it is never resized"),
        (png(np.zeros((56, 56), np.uint8)), "found 56 x 56"),
        (by_hand(np.zeros((28, 28), ">u2"), depth=16), "at most 8 bits a sample, found 16"),
        (_transparent(), "opaque pixels, found transparent ones"),
        (png(transparency=3), "opaque pixels"),
    ],
    ids=[
        "nothing", "another format", "a signature", "half", "no end", "cut at the end",
        "no pixels", "a flipped byte", "no header", "an empty picture", "too few pixels",
        "no zlib", "no such colour", "a vast chunk", "narrow", "large", "sixteen bits",
        "a transparent pixel", "a transparent colour",
    ],
)  # fmt: skip
def test_an_invalid_image_is_refused_with_its_reason(client, body, message):
    response = post(client, body)

    assert response.status_code == 400, response.data
    assert message in response.json["error"]


def test_an_image_over_the_limit_is_refused_before_decompression(client):
    bomb = SIGNATURE + header(60_000, 60_000) + chunk(b"IDAT", bytes(50)) + chunk(b"IEND")

    response = post(client, bomb)

    assert response.status_code == 413
    assert "at most 16000000 pixels, found 3600000000" in response.json["error"]


@pytest.mark.parametrize(
    "second",
    [header(4_000, 4_000), header(28, 28), header(depth=16)],
    ids=["a large one", "the same", "a deep one"],
)
def test_a_second_header_is_refused(client, second):
    body = png()

    response = post(client, body[:33] + second + body[33:])

    assert response.status_code == 400
    assert "one header, found two" in response.json["error"]


def test_data_after_the_last_pixel_is_not_decompressed(client):
    # Given a picture of the right size whose pixels unpack to 100 MB more than it shows.
    lines = b"".join(b"\0" + line.tobytes() for line in IMAGES[0])
    squeezed = zlib.compress(lines + bytes(100_000_000))
    assert len(squeezed) < 100_000
    body = SIGNATURE + header() + chunk(b"IDAT", squeezed[:90_000]) + chunk(b"IEND")

    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    response = post(client, body)

    assert response.status_code in {200, 400}
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 50_000


def test_text_and_profile_chunks_are_ignored(client):
    texts = PngImagePlugin.PngInfo()
    texts.add_text("bomb", "a" * 5_000_000, zip=True)
    texts.add_itxt("note", "ü" * 1_000, zip=True)
    body = png(pnginfo=texts, icc_profile=b"no profile")

    assert np.allclose(probabilities(post(client, body)), EXPECTED[0], atol=1e-6)


def test_too_many_chunks_are_refused(client):
    body = png()[:33] + chunk(b"tEXt") * 5_000 + png()[33:]

    response = post(client, body)

    assert response.status_code == 400
    assert "at most 4096 chunks" in response.json["error"]


def test_the_range_in_the_schema_applies_to_images():
    spec = TensorSpec(name="image", datatype="UINT8", shape=(28, 28), maximum=18)
    client = application_of(Schema(inputs=(spec,), outputs=bundles.TENSORS.outputs))

    response = post(client, png())

    assert response.status_code == 400
    assert "values of 0 to 18, found 0 to 19" in response.json["error"]


@pytest.mark.parametrize(
    ("path", "kind", "message"),
    [
        (
            INFER,
            "image/gif",
            "application/json or application/octet-stream or image/png or image/jpeg or image/webp",
        ),
        (PREDICT, "image/png", "application/json"),
    ],
)
def test_the_error_of_an_unsupported_type_lists_the_others(client, path, kind, message):
    response = client.post(path, data=png(), content_type=kind)

    assert response.status_code == 415
    assert f"expected {message}, found {kind}" in response.json["error"]


@pytest.mark.parametrize(
    "inputs",
    [
        (TensorSpec(name="image", datatype="FP32", shape=(28, 28)),),
        (TensorSpec(name="row", datatype="UINT8", shape=(784,)),),
        (TensorSpec(name="image", datatype="UINT8", shape=(28, 28, 2)),),
        tuple(TensorSpec(name=name, datatype="UINT8", shape=(28, 28)) for name in "ab"),
    ],
    ids=["of floats", "a row", "two channels", "two pictures"],
)
def test_an_image_for_a_model_without_image_input_is_refused_with_its_inputs(inputs):
    from overnight.serving.errors import WrongContentType
    from overnight.serving.inference.codecs import v2_image

    with pytest.raises(WrongContentType, match=r"expected application/json or .* the inputs are"):
        v2_image.picture_input(inputs)


def test_arbitrary_bytes_never_cause_a_5xx(client):
    chance = np.random.default_rng(11)
    whole = png()
    for _ in range(500):
        body = bytearray(whole[: chance.integers(1, len(whole) + 1)])
        for place in chance.integers(0, len(body), chance.integers(0, 4)):
            body[place] = chance.integers(256)
        assert post(client, bytes(body)).status_code in {200, 400, 413}
