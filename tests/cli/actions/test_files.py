"""Files given to `predict` and `ingest`: how they are read, and errors about bad ones."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import ExifTags, Image

from overnight.cli.actions import land_files as cli_landing
from overnight.cli.actions.predict_rows import read_rows
from overnight.cli.actions.read_image import read_image
from overnight.models.errors import UnknownModel
from overnight.models.sales import store47
from overnight.store.datasets.landing import Landing
from overnight.store.errors import BadFile
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.schema import TensorSpec

IMAGE = TensorSpec(name="image", datatype="UINT8", shape=(28, 28), bright_on_dark=True)


def picture(folder: Path, pixels: np.ndarray, name: str = "digit.png") -> Path:
    Image.fromarray(pixels.astype(np.uint8)).save(folder / name)
    return folder / name


def one() -> np.ndarray:
    """A stroke, white on black, 28x28."""
    pixels = np.zeros((28, 28), np.uint8)
    pixels[4:24, 13:15] = 255
    return pixels


def test_an_image_of_the_models_size_is_not_changed(tmp_path):
    assert np.array_equal(read_image(picture(tmp_path, one()), IMAGE), one())


def test_dark_ink_on_paper_is_inverted(tmp_path):
    assert np.array_equal(read_image(picture(tmp_path, 255 - one()), IMAGE), one())


@pytest.mark.parametrize("kind", ["png", "jpg"])
def test_a_picture_that_lies_on_its_side_is_turned_upright(tmp_path, kind):
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    stored = Image.fromarray(one()).transpose(Image.Transpose.ROTATE_90)
    stored.save(tmp_path / f"photo.{kind}", exif=exif, quality=100)

    read = read_image(tmp_path / f"photo.{kind}", IMAGE).astype(int)

    assert abs(read - one()).max() < 60


def test_a_picture_of_more_than_8_bits_is_refused_and_not_clipped(tmp_path):
    Image.fromarray(one().astype(np.uint16) * 80).save(tmp_path / "deep.png")

    with pytest.raises(BadFile, match=r"deep\.png: expected at most 8 bits a sample"):
        read_image(tmp_path / "deep.png", IMAGE)


def test_a_small_digit_on_a_large_sheet_keeps_its_pixels(tmp_path):
    sheet = np.full((700, 500), 255, np.uint8)
    sheet[40:100, 30:36] = 0

    result = read_image(picture(tmp_path, sheet), IMAGE)

    rows = np.flatnonzero((result > 100).any(axis=1))
    assert result.shape == (28, 28)
    assert 18 <= rows[-1] - rows[0] + 1 <= 21
    assert result.max() > 200


def test_ink_on_transparent_paper_is_ink(tmp_path):
    drawn = np.zeros((28, 28, 4), np.uint8)
    drawn[4:24, 13:15, 3] = 255

    assert np.array_equal(read_image(picture(tmp_path, drawn), IMAGE), one())


def test_the_error_about_an_empty_image_names_it(tmp_path):
    with pytest.raises(BadFile, match=r"empty\.png: expected something drawn"):
        read_image(picture(tmp_path, np.zeros((90, 90)), "empty.png"), IMAGE)


def test_the_error_about_a_file_that_is_no_image_names_it(tmp_path):
    (tmp_path / "fake.png").write_bytes(b"not a picture")

    with pytest.raises(BadFile, match=r"fake\.png: expected an image"):
        read_image(tmp_path / "fake.png", IMAGE)


def test_the_error_about_an_image_that_is_far_too_large_names_it(tmp_path):
    # given a grey map whose header alone says it, without pixels
    (tmp_path / "vast.png").write_bytes(b"P5\n20000 20000\n255\n")

    with pytest.raises(BadFile, match=r"vast\.png: expected a smaller image"):
        read_image(tmp_path / "vast.png", IMAGE)


def test_arrays_hold_one_row_or_several(tmp_path):
    np.save(tmp_path / "several.npy", np.stack([one(), one()]))
    (tmp_path / "one.json").write_text(json.dumps(one().tolist()))

    assert read_rows(tmp_path / "several.npy", IMAGE).shape == (2, 28, 28)
    assert np.array_equal(read_rows(tmp_path / "one.json", IMAGE), one()[None])


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("wide.json", "[[1, 2, 3]]", "the shape"),
        ("ragged.json", "[[1], [2, 3]]", "an array"),
        ("broken.json", "{", "an array"),
        ("words.json", '["a"]', "shape"),
        ("half.json", json.dumps((one() / 2).tolist()), "uint8"),
        ("over.json", json.dumps((one() + 300.0).tolist()), "uint8"),
        ("not.npy", "text", "an array"),
        ("digit.txt", "7", "known are pictures, .npy"),
    ],
)
def test_the_error_about_a_bad_array_names_the_file_and_what_was_expected(
    tmp_path, name, body, message
):
    (tmp_path / name).write_text(body)

    with pytest.raises(BadFile, match=name) as raised:
        read_rows(tmp_path / name, IMAGE)

    assert message in str(raised.value)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(BadFile, match="expected at least one file"):
        cli_landing.land("digits", [tmp_path])


def test_an_unknown_model_is_refused(tmp_path):
    with pytest.raises(UnknownModel, match="digits"):
        cli_landing.land("nobody", [tmp_path])


def test_a_link_is_not_followed_and_named(tmp_path, capsys):
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / "data.csv").symlink_to(tmp_path / "key.pem")

    with pytest.raises(BadFile, match=r"data\.csv: expected at least one file, found none"):
        cli_landing.land("digits", [tmp_path / "data.csv"])
    assert "data.csv is left alone: it is a link" in capsys.readouterr().err


def test_more_than_an_arrival_may_be_is_refused_before_it_is_read(tmp_path):
    # given a file of a size alone, without any bytes on the disk
    with (tmp_path / "vast.npz").open("wb") as file:
        file.truncate(1 << 40)

    with pytest.raises(BadFile, match=r"vast\.npz: expected at most 1,000,000,000 bytes"):
        cli_landing.land("digits", [tmp_path / "vast.npz"])


def test_two_files_of_one_name_are_refused(tmp_path):
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.csv").write_text(folder)

    with pytest.raises(BadFile, match="expected one file of this name"):
        cli_landing.land("digits", [tmp_path / "a" / "x.csv", tmp_path / "b" / "x.csv"])


@pytest.mark.servers
def test_a_folder_lands_once_with_its_labels_as_folders_and_without_what_links_lead_to(
    tmp_path, monkeypatch, capsys, s3_address: S3Address, s3_bucket: S3Bucket
):
    # given a folder of pictures by label, itself hidden, with hidden files and a link to a secret
    for label in ("1", "7", ".git/objects/ab"):
        (tmp_path / ".drawn" / label).mkdir(parents=True)
        picture(tmp_path / ".drawn" / label, one(), "a.png")
    (tmp_path / ".drawn" / ".DS_Store").write_text("")
    (tmp_path / "key.pem").write_text("secret")
    (tmp_path / ".drawn" / "7" / "b.png").symlink_to(tmp_path / "key.pem")
    for name in ("endpoint", "bucket", "access_key", "secret_key"):
        monkeypatch.setenv(f"OVERNIGHT_S3_{name.upper()}", getattr(s3_address, name))
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path / "home"))

    cli_landing.land("digits", [tmp_path / ".drawn"])
    cli_landing.land("digits", [tmp_path / ".drawn"])

    (arrival,) = Landing(s3_bucket, "digits").pending()
    assert sorted(arrival.files) == [".drawn/1/a.png", ".drawn/7/a.png"]
    assert "7/b.png is left alone: it is a link" in capsys.readouterr().err


@pytest.mark.servers
def test_a_csv_lands_in_pieces_and_its_rows_are_counted(
    tmp_path, s3_address: S3Address, s3_bucket: S3Bucket, monkeypatch, capsys
):
    for name in ("endpoint", "bucket", "access_key", "secret_key"):
        monkeypatch.setenv(f"OVERNIGHT_S3_{name.upper()}", getattr(s3_address, name))
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path / "home"))
    line = "{},2016-01-01,1,2.5,DAIRY,1,0,1,2016,1,1,1,1,False\n"
    body = ",".join(store47.COLUMNS) + "\n" + "".join(line.format(i) for i in range(9))
    (tmp_path / "store.csv").write_text(body + line.format("x"))

    cli_landing.land("sales", [tmp_path / "store.csv"])
    cli_landing.land("sales", [tmp_path / "store.csv"])

    (arrival,) = Landing(s3_bucket, "sales").pending()
    assert arrival.converted is not None
    assert (arrival.converted.rows, arrival.converted.rejected_lines) == (9, 1)
    message = f"landed 9 rows of store.csv as {arrival.name}, 1 rejected"
    assert capsys.readouterr().out.splitlines() == [message, message]
