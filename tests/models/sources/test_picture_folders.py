"""Pictures in folders of their classes, and in Parquet files."""

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from overnight.models.definition import Places
from overnight.models.errors import SourceUnavailable
from overnight.models.sources.picture_folders import PictureFolders
from overnight.store.errors import BadFile
from overnight.store.pictures.declaration import Picture
from overnight.store.schema import TensorSpec

IMAGE = TensorSpec(
    name="image", datatype="UINT8", shape=(4, 4, 3), picture=Picture(resize="stretch")
)


def picture(colour: str, *, format: str = "PNG", size: tuple[int, int] = (8, 6)) -> bytes:
    body = io.BytesIO()
    Image.new("RGB", size, colour).save(body, format=format)
    return body.getvalue()


def put(folder: Path, files: dict[str, bytes]) -> None:
    for name, body in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)


def source(folder: Path) -> PictureFolders:
    places = Places(folder=folder, cache=folder)
    return PictureFolders(places, model="shapes", image=IMAGE, wait=lambda _: None)


def test_a_folder_is_an_arrival_with_its_classes(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "holdout/red/a.png": picture("red"),
            "night 1/blue/b.jpg": picture("blue", format="JPEG"),
            "night 1/red/c.webp": picture("red", format="WEBP", size=(4, 4)),
            "night 2/red/d.png": picture("red"),
        },
    )
    shapes = source(tmp_path)

    first = shapes.deliver(())
    assert first is not None
    reading = shapes.read(first.files)
    second = shapes.deliver({first.name})

    assert reading.rows.column("label").to_pylist() == ["blue", "red"]
    pixels = np.frombuffer(reading.rows.column("image")[0].as_py(), np.uint8).reshape(4, 4, 3)
    assert pixels[..., 2].min() > 250
    assert len(set(reading.rows.column("digest").to_pylist())) == 2
    assert second is not None
    assert shapes.deliver({first.name, second.name}) is None
    assert shapes.holdout().column("label").to_pylist() == ["red"]
    # The same pixels are the same row, whatever file they come in.
    assert shapes.read(second.files).rows.column("digest") == shapes.holdout().column("digest")


def test_a_parquet_file_is_an_arrival_too(tmp_path: Path) -> None:
    table = pa.table({"picture": [picture("red")], "label": ["red"], "width": [8]})
    pq.write_table(table, tmp_path / "night-0001.parquet")

    delivery = source(tmp_path).deliver(())

    assert delivery is not None
    assert (delivery.name, list(delivery.files)) == ("night-0001", ["night-0001.parquet"])
    assert source(tmp_path).read(delivery.files).rows.column("label").to_pylist() == ["red"]


def test_what_is_no_picture_is_rejected_by_name_and_the_others_are_read(tmp_path: Path) -> None:
    put(
        tmp_path,
        {
            "n/red/a.png": picture("red"),
            "n/red/b.png": b"GIF89a",
            "n/red/.DS_Store": b"x",
            "n/readme.txt": b"x",
            "notes.txt": b"x",
        },
    )
    shapes = source(tmp_path)

    delivery = shapes.deliver(())
    assert delivery is not None
    reading = shapes.read(delivery.files)

    assert reading.rows.num_rows == 1
    assert [str(bad) for bad in reading.rejected] == [
        "n.parquet: red/b.png: expected a PNG, JPEG or WebP, found 6 bytes of something else"
    ]
    left_alone = {file.name: file.why for file in shapes.left_alone()}
    assert left_alone.pop("n/readme.txt") == "beside the folders of the classes"
    assert "notes.txt" in left_alone


def test_a_parquet_file_of_something_else_says_what_is_missing(tmp_path: Path) -> None:
    body = io.BytesIO()
    pq.write_table(pa.table({"label": ["red"], "pixels": [b"x"]}), body)

    reading = source(tmp_path).read({"a.parquet": body.getvalue(), "b.parquet": b"PAR1"})

    assert [bad.file for bad in reading.rejected] == ["a.parquet", "b.parquet"]
    assert "found no picture among label, pixels" in str(reading.rejected[0])


def test_a_folder_that_is_being_written_waits(tmp_path: Path) -> None:
    put(tmp_path, {"n/red/a.png": picture("red")})

    def grow(_: float) -> None:
        (tmp_path / "n/red/a.png").write_bytes(picture("blue"))

    shapes = PictureFolders(
        Places(folder=tmp_path, cache=tmp_path), model="shapes", image=IMAGE, wait=grow
    )

    assert shapes.deliver(()) is None
    assert [str(each) for each in shapes.left_alone()] == [
        "a.png is left alone: it is being written"
    ]


def test_a_holdout_must_be_there_and_whole(tmp_path: Path) -> None:
    with pytest.raises(SourceUnavailable, match="OVERNIGHT_SOURCE_FOLDERS__SHAPES"):
        source(tmp_path / "nowhere").deliver(())
    with pytest.raises(SourceUnavailable, match="no such folder"):
        source(tmp_path).holdout()

    put(tmp_path, {"holdout/red/a.png": b"nothing"})

    with pytest.raises(BadFile, match=r"red/a\.png"):
        source(tmp_path).holdout()
