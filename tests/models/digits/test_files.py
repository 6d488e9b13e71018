"""Digits from every kind of file, and every kind of bad file told apart from the good ones."""

import gzip
import io
import struct
import zipfile
from collections.abc import Callable, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import ExifTags, Image

from overnight.models.digits import idx
from overnight.models.digits.files import read_files
from overnight.models.digits.rows import images_of
from overnight.store.errors import BadLines

IMAGES = np.random.default_rng(1).integers(0, 256, (5, 28, 28)).astype(np.uint8)
LABELS = np.array([3, 1, 4, 1, 5], np.uint8)
GOOD = {
    "good-images-idx3-ubyte": idx.encode(IMAGES),
    "good-labels-idx1-ubyte": idx.encode(LABELS),
}


def csv_of(images=IMAGES, labels=LABELS, *, label_at=0, names=None) -> bytes:
    names = names or [f"pixel{number}" for number in range(784)]
    lines = [",".join([*names[:label_at], "label", *names[label_at:]])]
    for image, label in zip(images.reshape(-1, 784), labels, strict=True):
        cells = [str(pixel) for pixel in image]
        lines.append(",".join([*cells[:label_at], str(label), *cells[label_at:]]))
    return ("\n".join(lines) + "\n").encode()


def parquet_of(**columns) -> bytes:
    stream = io.BytesIO()
    pyarrow.parquet.write_table(pa.table(columns), stream)
    return stream.getvalue()


def npz_of(**arrays) -> bytes:
    stream = io.BytesIO()
    np.savez_compressed(stream, **arrays)
    return stream.getvalue()


def png_of(image=IMAGES[0], mode="L") -> bytes:
    stream = io.BytesIO()
    Image.fromarray(image).convert(mode).save(stream, "PNG")
    return stream.getvalue()


def with_columns(body: bytes, names: list[str]) -> bytes:
    """The same CSV with other columns before its own, of the number of each row."""
    first, *rows = body.splitlines()
    lines = [b",".join([*(name.encode() for name in names), first])]
    lines += [b",".join([str(i).encode()] * len(names) + [row]) for i, row in enumerate(rows)]
    return b"\n".join(lines)


FLAT = [image.tobytes() for image in IMAGES]
PIXEL_COLUMNS = {f"pixel{number}": IMAGES.reshape(-1, 784)[:, number] for number in range(784)}
SQUARE = [f"r{n // 28}c{n % 28}" for n in range(784)]
WITH_HOLE = IMAGES.reshape(-1, 784).astype(str)
WITH_HOLE[2, 5] = ""
# How a picture is stored that its orientation turns upright: the inverse of what a viewer does.
_TURN = Image.Transpose
BACK = {
    2: _TURN.FLIP_LEFT_RIGHT, 3: _TURN.ROTATE_180, 4: _TURN.FLIP_TOP_BOTTOM, 5: _TURN.TRANSPOSE,
    6: _TURN.ROTATE_90, 7: _TURN.TRANSVERSE, 8: _TURN.ROTATE_270,
}  # fmt: skip
SHUFFLED = np.random.default_rng(2).permutation(784)


@pytest.mark.parametrize(
    "files",
    [
        GOOD,
        {f"{name}.gz": gzip.compress(body) for name, body in GOOD.items()},
        {"in/x.images.idx": GOOD["good-images-idx3-ubyte"],
         "in/x.labels.idx": GOOD["good-labels-idx1-ubyte"]},
        {"plain-idx3": GOOD["good-images-idx3-ubyte"],
         "plain-idx1": GOOD["good-labels-idx1-ubyte"]},
        {"d.csv": csv_of()},
        {"d.csv": csv_of().replace(b"\n", b"\r\n")},
        {"d.csv.gz": gzip.compress(csv_of(label_at=784))},
        {"d.csv": csv_of(label_at=400, names=[f"anything {number}" for number in range(784)])},
        {"d.csv": csv_of(IMAGES.reshape(-1, 784)[:, SHUFFLED],
                         names=[f"pixel{number}" for number in SHUFFLED])},
        {"d.parquet": parquet_of(image=FLAT, label=LABELS.tolist())},
        {"d.parquet": parquet_of(label=LABELS, pixels=IMAGES.reshape(-1, 784).tolist())},
        {"d.parquet": parquet_of(label=LABELS, image=[{"bytes": png_of(one)} for one in IMAGES])},
        {"d.parquet": parquet_of(label=LABELS.astype("int64"), **PIXEL_COLUMNS)},
        {"d.npz": npz_of(images=IMAGES, labels=LABELS)},
        {"d.npz": npz_of(x=IMAGES.reshape(5, 28, 28, 1).astype("int64"), y=LABELS)},
        {"d.npz": npz_of(x_train=IMAGES[:2], y_train=LABELS[:2],
                         x_test=IMAGES[2:], y_test=LABELS[2:])},
        {f"{number}/{label}/p.png": png_of(image)
         for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True))},
        {f"{number}/{label}/p.PNG": png_of(image, "RGB")
         for number, (image, label) in enumerate(zip(IMAGES, LABELS, strict=True))},
    ],
)  # fmt: skip
def test_the_same_digits_come_from_every_kind_of_file(files: Mapping[str, bytes]) -> None:
    reading = read_files(files)

    assert reading.rejected == ()
    assert np.array_equal(images_of(reading.rows), IMAGES)
    assert reading.rows.column("label").to_pylist() == LABELS.tolist()
    assert reading.rows.schema.field("image").type == pa.binary(784)


def idx_header(magic: int, *shape: int) -> bytes:
    return struct.pack(f">{1 + len(shape)}I", magic, *shape)


def bomb() -> bytes:
    """An archive whose directory tells of one byte too many."""
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("images.npy", bytes(100))
        archive.getinfo("images.npy").file_size = idx.MAXIMUM_BYTES + 1
    return stream.getvalue()


def gzip_bomb() -> bytes:
    """Many members of zeros, as compressing them one by one takes a hundredth of the time."""
    member = gzip.compress(bytes(5_000_000))
    return member * (idx.MAXIMUM_BYTES // 5_000_000 + 1)


def boastful() -> bytes:
    """An array whose header claims more than there is memory."""
    head = b"{'descr': '|u1', 'fortran_order': False, 'shape': (99999999999, 784), }\n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    return stream.getvalue()


def broken_header() -> bytes:
    head = b"{'descr': '|u1', 'fortran_order': \n"
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        archive.writestr("images.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head)
    return stream.getvalue()


def vast_png() -> bytes:
    """A small file whose header claims a picture of 900 million pixels."""
    return png_of().replace(struct.pack(">II", 28, 28), struct.pack(">II", 30_000, 30_000))


TRANSPARENT = np.zeros((28, 28, 4), np.uint8)


@pytest.mark.parametrize(
    ("file", "body", "expected", "found"),
    [
        ("a.csv", csv_of().replace(b"pixel99,", b"", 1), "784 columns of pixels", "no pixel99"),
        ("a.csv", csv_of().replace(b"pixel99,", b"pixel98,", 1), "784 columns", "pixel98 twice"),
        ("a.csv", csv_of(names=[*SQUARE[:99], "r3c50", *SQUARE[100:]]), "784", "no r3c15"),
        ("a.csv", csv_of(names=[f"p{chr(97 + n % 26) * (n // 26)}" for n in range(784)]),
         "that are numbered", "1 like"),
        ("a.csv", csv_of().replace(b"pixel99,", b"pixel99,pixel784,", 1), "784 columns",
         "785 like pixel0 (pixel784 is one too many)"),
        ("a.csv", with_columns(csv_of(), [f"seen{n}" for n in range(784)]), "784 columns",
         "2 sets of them, which begin with seen0, pixel0"),
        ("a.csv", csv_of().replace(b"label", b"digit"), "a column label", "785 columns"),
        ("a.csv", with_columns(csv_of(), ["Label"]), "a column label", "Label and label"),
        ("a.csv", csv_of(IMAGES.astype(int) + 300), "at least one line", "line 2: pixel"),
        ("a.csv", b"", "begins with a line of column names", "no line"),
        ("a.csv", csv_of().replace(b",", b";"), "a column label", "label;pixel0"),
        ("a.csv", b"\xff\xfe\x00", "a CSV in UTF-8", "UTF-16"),
        ("a.csv", parquet_of(label=[1]), "a CSV in UTF-8", "a Parquet file"),
        ("a.parquet", parquet_of(label=LABELS, **{name: column for name, column in
                                                  PIXEL_COLUMNS.items() if name != "pixel9"}),
         "784 columns of pixels", "no pixel9"),
        ("a.parquet", parquet_of(image=FLAT, label=[1, 2, 11, 4, 5]), "labels", "11 in row 2"),
        ("a.parquet", parquet_of(image=[[0] * 785], label=[1]), "at most 784", "785 in 1 rows"),
        ("a.parquet", parquet_of(image=[[0] * 783], label=[1]), "784 pixels an image", "783 in 0"),
        ("a.parquet", parquet_of(image=[bytes(100_001)], label=[1]), "100,000 bytes", "100,001"),
        ("a.parquet", parquet_of(image=[{"bytes": bytes(100_001)}], label=[1]), "100,000 bytes",
         "100,001"),
        ("a.parquet", parquet_of(image=[1.5], label=[1]), "784 pixels an image", "double"),
        ("a.parquet", b"PAR1 not really", "a Parquet file", ""),
        ("a.parquet", parquet_of(image=FLAT), "a column label", "image"),
        ("a.parquet", parquet_of(image=[b"short"], label=[1]), "784 pixels an image", "5 in 0"),
        ("a.parquet", parquet_of(image=FLAT[:2], label=[1, None]), "no missing", "label in row 1"),
        ("a.parquet", parquet_of(image=FLAT[:1], label=["one"]), "whole numbers", "string"),
        ("a.parquet", parquet_of(image=[{"bytes": b"x"}], label=[1]), "a PNG", "something else"),
        ("a.parquet", parquet_of(label=pa.nulls(200_001)), "at most 200,000 rows", "200,001"),
        ("a.npz", b"PK no", "a numpy archive", "zip"),
        ("a.npz", npz_of(pictures=IMAGES), "arrays images and labels", "pictures"),
        ("a.npz", npz_of(x=IMAGES / 255, y=LABELS), "images as whole numbers", "float64"),
        ("a.npz", npz_of(x=IMAGES, y=LABELS[:4]), "5 labels, one an image", "4"),
        ("a.npz", npz_of(x=IMAGES[:, :27], y=LABELS), "28 × 28", "(5, 27, 28)"),
        ("a.npz", npz_of(x=IMAGES.astype(int) - 1, y=LABELS), "pixels from 0 to 255", "-1 in row"),
        ("a.npz", npz_of(x=np.array([None]), y=LABELS), "a numpy archive", "allow_pickle"),
        ("a.npz", bomb, "at most 500,000,000 bytes", "500,000,001"),
        ("a.npz", boastful, "a numpy archive", ""),
        ("7/a.png", png_of(IMAGES[0, :20]), "28 × 28 pixels", "28 × 20"),
        ("7/a.png", vast_png, "28 × 28 pixels", "30000 × 30000"),
        ("7/a.png", png_of()[:200], "a whole PNG", "truncated"),
        ("7/a.png", b"GIF89a", "a PNG", "6 bytes of something else"),
        ("7/a.png", png_of(TRANSPARENT, "RGBA"), "without transparency", "RGBA"),
        ("11/a.png", png_of(), "0 to 9", "'11'"),
        ("a.png", png_of(), "a folder named after the digit", "no folder"),
        ("a.npz", broken_header, "a file that can be read", ""),
        ("notes.txt", b"hello", "IDX, CSV, Parquet", "'.txt'"),
        ("a.csv.gz", b"\x1f\x8b\x08broken", "a gzip file", ""),
        ("a.csv.gz", b"no gzip", "a gzip file", "Not a gzipped file"),
        ("a.npz.gz", gzip_bomb, "500,000,000", "more"),
    ],
)  # fmt: skip
def test_a_bad_file_is_named_and_costs_the_others_nothing(
    file: str, body: bytes | Callable[[], bytes], expected: str, found: str
) -> None:
    reading = read_files({file: body if isinstance(body, bytes) else body(), **GOOD})

    (bad,) = reading.rejected
    assert bad.file == file
    assert expected in bad.expected
    assert found in bad.found
    assert np.array_equal(images_of(reading.rows), IMAGES)


@pytest.mark.parametrize(
    ("body", "why"),
    [
        (csv_of(labels=[1, 2, 11, 4, 5]), "line 4: label: expected 0 to 9, found 11"),
        (csv_of(labels=[1, 2, -1, 4, 5]), "line 4: label: expected 0 to 9, found -1"),
        (csv_of(labels=["1", "2", "x", "4", "5"]), "line 4: label: invalid value 'x'"),
        (csv_of(labels=["1", "2", "", "4", "5"]), "line 4: label: no value"),
        (csv_of(labels=[1, 2, "9" * 140_000, 4, 5]), "line 4: label: invalid value"),
        (csv_of(labels=[1, 2, "3,3", 4, 5]), "line 4: Expected 785 columns, got 786"),
        (csv_of(WITH_HOLE), "line 4: pixel5: no value"),
        (csv_of(np.where(WITH_HOLE == "", "256", WITH_HOLE)),
         "line 4: pixel5: invalid value '256', expected a whole number from 0 to 255"),
    ],
)  # fmt: skip
def test_a_bad_line_is_named_and_the_others_come_in(body: bytes, why: str) -> None:
    reading = read_files({"a.csv": body})

    (bad,) = reading.rejected
    assert isinstance(bad, BadLines)
    assert why in str(bad)
    assert bad.text == body.splitlines(keepends=True)[3]
    assert np.array_equal(images_of(reading.rows), IMAGES[[0, 1, 3, 4]])


@pytest.mark.parametrize(
    "names",
    [
        [f"pixel_{n}" for n in range(784)],
        [f"p{n}" for n in range(1, 785)],
        [f"V{n:03}" for n in range(784)],
        SQUARE,
        [f"{n}" for n in range(784)],
        [f"{1 + n // 28}x{1 + n % 28}" for n in range(784)],
    ],
)
def test_columns_in_the_order_of_the_alphabet_are_the_same_digits(names: list[str]) -> None:
    order = np.argsort(np.array(names))
    flat = IMAGES.reshape(-1, 784)[:, order]
    sorted_names = [names[place] for place in order]
    columns = {name: flat[:, place] for place, name in enumerate(sorted_names)}

    text = read_files({"d.csv": csv_of(flat, names=sorted_names)})
    table = read_files({"d.parquet": parquet_of(label=LABELS, **columns)})

    assert (text.rejected, table.rejected) == ((), ())
    assert np.array_equal(images_of(text.rows), IMAGES)
    assert np.array_equal(images_of(table.rows), IMAGES)


def test_columns_that_are_not_needed_change_nothing() -> None:
    indexed = {
        "label": LABELS,
        **PIXEL_COLUMNS,
        "__index_level_0__": [None] * 5,
        "x": list("abcde"),
    }
    files = {
        "a.csv": with_columns(csv_of(), [""]),
        "b.csv": with_columns(csv_of(), ["id", "id"]),
        "c.csv": csv_of().replace(b"\n", b",\n"),
        "d.parquet": parquet_of(**indexed),
        "e.parquet": parquet_of(image=FLAT, label=LABELS, path=list("abcde")),
    }

    for file, body in files.items():
        reading = read_files({file: body})
        assert reading.rejected == ()
        assert np.array_equal(images_of(reading.rows), IMAGES)


@pytest.mark.parametrize(
    "dialect",
    [
        lambda text: text.encode("utf-8-sig"),
        lambda text: text.replace(",", ", ").encode(),
        lambda text: text.replace("pixel", " Pixel").replace("label", '"LABEL"').encode(),
        lambda text: gzip.compress(text.encode()),
    ],
)
def test_the_same_digits_come_from_every_dialect(dialect: Callable[[str], bytes]) -> None:
    reading = read_files({"a.csv": dialect(csv_of().decode())})

    assert reading.rejected == ()
    assert np.array_equal(images_of(reading.rows), IMAGES)


@pytest.mark.parametrize(
    ("body", "reported"),
    [
        (csv_of().replace(b"\n", b"\r"), "lines that end in CR alone"),
        (csv_of().decode().encode("utf-16"), "text in UTF-16"),
        (csv_of().replace(b"label", b"lab\0l"), "NUL bytes"),
        (b"PK" + bytes([3, 4]), "a zip archive"),
    ],
)
def test_another_kind_of_file_is_named_as_what_it_is(body: bytes, reported: str) -> None:
    (bad,) = read_files({"a.csv": body}).rejected

    assert reported in str(bad)


@pytest.mark.parametrize("orientation", BACK)
def test_a_picture_is_ingested_as_viewers_show_it(orientation: int) -> None:
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = orientation
    stored, stream = Image.fromarray(IMAGES[0]).transpose(BACK[orientation]), io.BytesIO()
    stored.save(stream, "PNG", exif=exif)

    picture = read_files({"7/photo.png": stream.getvalue()})
    table = read_files({"a.parquet": parquet_of(label=[7], image=[{"bytes": stream.getvalue()}])})

    assert np.array_equal(images_of(picture.rows)[0], IMAGES[0])
    assert np.array_equal(images_of(table.rows)[0], IMAGES[0])


GOOD_IMAGES, GOOD_LABELS = GOOD.values()


@pytest.mark.parametrize(
    ("images", "labels", "bad", "expected", "found"),
    [
        (GOOD_IMAGES[:-1], GOOD_LABELS, 0, "3,936 bytes for 5 images", "3,935 bytes"),
        (GOOD_IMAGES + b"\0", GOOD_LABELS, 0, "3,936 bytes", "3,937 bytes"),
        (GOOD_IMAGES[:10], GOOD_LABELS, 0, "a header of 16 bytes", "10 bytes"),
        (b"", GOOD_LABELS, 0, "a header of 16 bytes", "0 bytes"),
        (GOOD_LABELS * 4, GOOD_LABELS, 0, "2051 (images)", "2049 (labels)"),
        (GOOD_IMAGES, GOOD_IMAGES, 1, "2049 (labels)", "2051 (images)"),
        (GOOD_IMAGES, GOOD_LABELS[:-1], 1, "13 bytes for 5 labels", "12 bytes"),
        (GOOD_IMAGES, idx.encode(LABELS[:4]), 1, "5 labels, one an image", "4"),
        (GOOD_IMAGES, idx.encode(LABELS + 7), 1, "labels from 0 to 9", "10 in row 0"),
        (idx_header(2051, 5, 32, 32), GOOD_LABELS, 0, "28 × 28", "32 × 32"),
        (idx_header(2051, 2**32 - 1, 28, 28), GOOD_LABELS, 0, "4,294,967,295 images", "16 bytes"),
    ],
)
def test_a_bad_idx_file_takes_only_its_partner_along(
    images: bytes, labels: bytes, bad: int, expected: str, found: str
) -> None:
    names = ["bad-images-idx3-ubyte", "bad-labels-idx1-ubyte"]

    reading = read_files({**dict(zip(names, (images, labels), strict=True)), **GOOD})

    errors = {error.file: error for error in reading.rejected}
    assert sorted(errors) == names
    assert expected.removeprefix("a header") in errors[names[bad]].expected
    assert found in errors[names[bad]].found
    assert errors[names[1 - bad]].expected == f"a valid {names[bad]} with it"
    assert reading.rows.num_rows == len(IMAGES)


def test_images_without_labels_are_rejected() -> None:
    reading = read_files({"lonely-images-idx3-ubyte.gz": gzip.compress(GOOD_IMAGES)})

    (bad,) = reading.rejected
    assert "with one of labels" in bad.expected
    assert reading.rows.num_rows == 0


def test_an_empty_folder_is_rejected_as_empty() -> None:
    reading = read_files({})

    assert [str(bad) for bad in reading.rejected] == [
        "the arrival: expected at least one file, found none"
    ]


def test_equal_pixels_have_equal_digests_whatever_their_file() -> None:
    reading = read_files({"a.csv": csv_of(), "b.npz": npz_of(x=IMAGES, y=LABELS)})

    digests = reading.rows.column("digest").to_pylist()
    assert digests[:5] == digests[5:]
    assert len(set(digests)) == 5
