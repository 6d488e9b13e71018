"""Which files of a folder that others fill are read, and which are left alone."""

import os
import socket
import time
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from overnight.models.definition import Places
from overnight.models.sources.csv_folder import CsvFolder
from overnight.models.sources.local_folder import list_folder, regular_file, still_written
from overnight.store.errors import BadFile

LONG_AGO = 1_700_000_000
# Of another clock, so that nothing follows from it.
A_DAY_AHEAD = time.time() + 86_400


def write(path: Path, text: str, *, at: float = LONG_AGO) -> Path:
    path.write_text(text)
    os.utime(path, (at, at))
    return path


def folder_source(folder: Path, *, wait: Callable[[float], None] = pytest.fail) -> CsvFolder:
    return CsvFolder(
        Places(folder=folder, cache=folder), model="letters",
        columns=pa.schema([("n", pa.int64())]), same_by=("n",), wait=wait,
    )  # fmt: skip


def test_only_regular_files_are_listed_and_all_else_is_named(tmp_path: Path) -> None:
    # given a folder with a file, a hidden one, and what leads out of it or never ends
    inside, outside = tmp_path / "inside", tmp_path / "outside"
    for folder in (inside, inside / "7", outside, inside / ".git"):
        folder.mkdir()
    write(outside / "key.pem", "secret")
    for name in ("a.csv", "7/b.png", ".c.csv", "._a.csv", ".git/config"):
        write(inside / name, "n")
    (inside / "key.csv").symlink_to(outside / "key.pem")
    (inside / "others").symlink_to(outside)
    os.mkfifo(inside / "pipe.csv")

    listing = list_folder(inside, deep=True)

    assert [file.name for file in listing.files] == ["7/b.png", "a.csv"]
    assert [str(left) for left in listing.left_alone] == [
        "key.csv is left alone: it is a link, which is not followed",
        "others is left alone: it is a link, which is not followed",
        "pipe.csv is left alone: it is a named pipe",
    ]


def test_sockets_and_devices_are_no_files(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))

        with pytest.raises(BadFile, match="found a socket"):
            regular_file(tmp_path / "s")
    with pytest.raises(BadFile, match="found a device"):
        regular_file(Path("/dev/null"))


def test_a_file_that_was_replaced_by_a_link_after_the_look_is_not_read(tmp_path: Path) -> None:
    write(tmp_path / "secret", "secret")
    file = regular_file(write(tmp_path / "a.csv", "n"))
    file.path.unlink()
    file.path.symlink_to(tmp_path / "secret")

    with pytest.raises(BadFile, match="expected a regular file, found a symbolic link"):
        file.read()


def test_a_file_whose_folder_was_replaced_by_a_link_after_the_look_is_not_read(
    tmp_path: Path,
) -> None:
    (tmp_path / "inside" / "7").mkdir(parents=True)
    (tmp_path / "outside").mkdir()
    write(tmp_path / "outside" / "a.csv", "secret")
    write(tmp_path / "inside" / "7" / "a.csv", "n")
    (file,) = list_folder(tmp_path / "inside", deep=True).files
    file.path.unlink()
    file.path.parent.rmdir()
    file.path.parent.symlink_to(tmp_path / "outside")

    with pytest.raises(BadFile, match=r"7/a\.csv: expected a file that can be read"):
        file.read()


def test_an_old_file_is_at_rest_and_a_young_one_once_it_stayed_the_same(tmp_path: Path) -> None:
    old = regular_file(write(tmp_path / "old.csv", "n"))
    still, growing = (
        regular_file(write(tmp_path / name, "n", at=A_DAY_AHEAD)) for name in ("s", "g")
    )

    def wait(_seconds: float) -> None:
        write(growing.path, "n\n1\n")

    assert still_written([old], wait=pytest.fail) == set()
    assert still_written([old, still, growing], wait=wait) == {growing}


def test_a_file_that_is_still_written_is_left_and_the_next_one_delivered(tmp_path: Path) -> None:
    write(tmp_path / "night-0002.csv", "n\n2\n")
    growing = write(tmp_path / "night-0001.csv", "n\n1\n", at=A_DAY_AHEAD)
    source = folder_source(tmp_path, wait=lambda _: _written(growing))

    delivery = source.deliver(())
    (left,) = source.left_alone()

    assert delivery is not None
    assert delivery.name == "night-0002"
    assert "night-0001.csv is left alone: it is not at rest" in str(left)


def _written(path: Path) -> None:
    write(path, path.read_text() + "1\n")


def test_hidden_files_are_no_arrivals_and_other_files_are_named(tmp_path: Path) -> None:
    for name in (".night-0002.csv", "._night-0002.csv", "night-0002.tsv", "night-0003.csv.bz2"):
        write(tmp_path / name, "n\n1\n")
    source = folder_source(tmp_path)

    assert source.deliver(()) is None
    assert [left.name for left in source.left_alone()] == ["night-0002.tsv", "night-0003.csv.bz2"]
