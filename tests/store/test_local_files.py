"""Atomic writes, locks and reloading of local files."""

import os
import signal
import socket
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from overnight.store.errors import BadFile
from overnight.store.local_files import (
    PART,
    ReloadingFile,
    create,
    lock,
    numbered_fields,
    open_regular,
    regular_files,
    try_lock,
    write_atomically,
)

# Ends itself as `kill -9` does, when all is written and nothing has its name yet.
KILLED = """
import os, signal, sys
from pathlib import Path
from overnight.store.local_files import write_atomically
Path.replace = lambda *_: os.kill(os.getpid(), signal.SIGKILL)
write_atomically(Path(sys.argv[1]), b"after")
"""
HOLDS = """
import sys
from pathlib import Path
from overnight.store.local_files import lock
held = lock(Path(sys.argv[1]))
print("held", flush=True)
sys.stdin.read()
"""


def python(program: str, path: Path, **options) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", program, str(path)], text=True, **options)


def test_a_writer_killed_before_the_rename_leaves_the_old_file(tmp_path):
    path = tmp_path / "state.json"
    write_atomically(path, b"before")

    assert python(KILLED, path).wait() == -signal.SIGKILL
    assert path.read_bytes() == b"before"
    (left,) = (one.name for one in tmp_path.iterdir() if one != path)
    assert left.startswith(PART)

    write_atomically(path, b"after")
    assert path.read_bytes() == b"after"


@pytest.mark.parametrize("durable", [True, False])
def test_a_file_is_replaced_and_never_written_into(tmp_path, durable):
    path = tmp_path / "new" / "state.json"
    write_atomically(path, b"before", durable=durable)

    with path.open("rb") as reader:
        write_atomically(path, b"after", durable=durable)
        assert reader.read() == b"before"

    assert path.read_bytes() == b"after"
    assert [one.name for one in path.parent.iterdir()] == ["state.json"]


def test_a_name_may_have_the_maximum_length(tmp_path):
    path = tmp_path / ("n" * 255)

    write_atomically(path, b"whole")

    assert path.read_bytes() == b"whole"


def test_a_secret_is_private_even_if_the_old_file_was_readable_by_all(tmp_path):
    path = tmp_path / "secret.env"
    path.write_text("old")
    path.chmod(0o644)

    write_atomically(path, b"new", mode=0o600)

    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_creating_an_existing_file_fails(tmp_path):
    create(tmp_path / "key", b"first", mode=0o600)

    with pytest.raises(FileExistsError):
        create(tmp_path / "key", b"second")

    assert (tmp_path / "key").read_bytes() == b"first"


def test_a_lock_has_one_holder_until_it_is_closed(tmp_path):
    path = tmp_path / "new" / "one.lock"

    with lock(path):
        assert try_lock(path) is None

    again = try_lock(path)
    assert again is not None
    again.close()


@pytest.mark.servers
def test_a_lock_dies_with_its_process(tmp_path):
    path = tmp_path / "one.lock"
    with python(HOLDS, path, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as holder:
        assert holder.stdout.readline() == "held\n"
        assert try_lock(path) is None

        holder.kill()
        with lock(path):
            assert holder.wait() == -signal.SIGKILL


def test_locking_an_existing_file_creates_none(tmp_path):
    with pytest.raises(FileNotFoundError):
        try_lock(tmp_path / "gone.lock", existing=True)

    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def file(tmp_path) -> Path:
    path = tmp_path / "names"
    path.write_bytes(b"ann")
    return path


def test_a_file_that_stays_the_same_is_parsed_once(file):
    parsed = []
    reloading = ReloadingFile(file, lambda body: (parsed.append(body), body.decode())[1])

    assert [reloading.read() for _ in range(3)] == ["ann"] * 3
    assert parsed == [b"ann"]


def test_another_file_of_the_same_size_and_time_is_read(file):
    reloading = ReloadingFile(file, bytes.decode)
    assert reloading.read() == "ann"
    before = file.stat()

    write_atomically(file, b"ben")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))

    assert reloading.read() == "ben"


def test_a_file_that_cannot_be_read_or_parsed_is_tried_again(file):
    reloading = ReloadingFile(file, int)
    with pytest.raises(ValueError, match="ann"):
        reloading.read()
    stamp = file.stat()

    # Mended without a trace: same file, size and time.
    file.write_bytes(b"123")
    os.utime(file, ns=(stamp.st_atime_ns, stamp.st_mtime_ns))
    assert reloading.read() == 123

    file.unlink()
    with pytest.raises(FileNotFoundError):
        reloading.read()


def test_fields_come_with_their_line_number_and_without_comments():
    text = "# who\nann  one\n\n  \nben two # later\n"

    assert list(numbered_fields(text)) == [(2, ["ann", "one"]), (5, ["ben", "two"])]


def link(path: Path) -> None:
    path.symlink_to(__file__)


def listen(path: Path) -> None:
    # The address has room for 108 bytes, which a temporary folder's path may exceed.
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(path.parent, os.O_DIRECTORY)
        listener.bind(f"/proc/self/fd/{folder}/{path.name}")
        os.close(folder)


# Device nodes can only be made by root.
IRREGULAR = {"a symbolic link": link, "a named pipe": os.mkfifo, "a socket": listen}


def test_the_files_of_a_folder_are_found_at_any_depth_and_hidden_ones_if_wanted(tmp_path):
    for name in ("b/two.csv", "a.csv", ".hidden/three.csv", "b/.four.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(name)

    seen = [str(path.relative_to(tmp_path)) for path in regular_files(tmp_path, hidden=False)]
    everything = regular_files(tmp_path)

    assert seen == ["a.csv", "b/two.csv"]
    assert len(everything) == 4


@pytest.mark.parametrize("kind", IRREGULAR)
def test_what_is_no_regular_file_is_refused_by_name_and_never_waited_for(tmp_path, kind):
    path = tmp_path / "inner" / "pixels"
    path.parent.mkdir()
    IRREGULAR[kind](path)

    with pytest.raises(BadFile, match=f"pixels: expected a regular file, found {kind}"):
        regular_files(tmp_path)
    with pytest.raises(BadFile, match=f"pixels: expected a regular file, found {kind}"):
        open_regular(path)


def test_devices_and_folders_are_no_regular_files(tmp_path):
    with pytest.raises(BadFile, match="found a device"):
        open_regular(Path("/dev/zero"))
    with pytest.raises(BadFile, match="found a folder"):
        open_regular(tmp_path)


def test_a_link_to_a_folder_leads_out_of_none(tmp_path):
    outside, inside = tmp_path / "outside", tmp_path / "inside"
    outside.mkdir()
    (outside / "key.pem").write_text("private")
    inside.mkdir()
    (inside / "more").symlink_to(outside)

    with pytest.raises(BadFile, match="more: expected a regular file, found a symbolic link"):
        regular_files(inside)
    with pytest.raises(NotADirectoryError):
        open_regular(inside / "more" / "key.pem", below=inside)


def test_a_regular_file_is_opened_and_a_missing_one_is_missing(tmp_path):
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "a.csv").write_bytes(b"rows")

    with open_regular(tmp_path / "inner" / "a.csv", below=tmp_path) as file:
        assert file.read() == b"rows"
    with pytest.raises(FileNotFoundError):
        open_regular(tmp_path / "inner" / "b.csv", below=tmp_path)
