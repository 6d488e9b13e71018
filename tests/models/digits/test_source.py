"""The genuine digits: checked wherever they come from, replayed night by night."""

import gzip
import http.server
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from overnight.models.definition import Places
from overnight.models.digits import mnist_files
from overnight.models.digits.mirrors import fetch_first
from overnight.models.digits.rows import images_of
from overnight.models.digits.schema import TENSORS, examples
from overnight.models.digits.source import DigitsSource
from overnight.models.errors import SourceUnavailable
from overnight.store.errors import BadFile


@pytest.fixture(scope="module")
def source(digits_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> DigitsSource:
    return DigitsSource(Places(folder=digits_folder, cache=tmp_path_factory.mktemp("cache")))


def test_the_deliveries_together_are_the_training_images_in_their_order(
    source: DigitsSource,
) -> None:
    delivered: list[str] = []
    parts = []
    while (delivery := source.deliver(delivered)) is not None:
        delivered.append(delivery.name)
        reading = source.read(delivery.files)
        assert reading.rejected == ()
        parts.append(reading.rows)

    assert delivered == [f"night-{night:04d}" for night in range(11)]
    assert [part.num_rows for part in parts] == [50_000] + 10 * [1_000]
    images = np.concatenate([images_of(part) for part in parts])
    original = source._array(mnist_files.TRAIN_IMAGES, 2051)
    assert np.array_equal(images, original)


def test_a_delivery_is_always_the_same_bytes(source: DigitsSource) -> None:
    assert source.deliver({"night-0000"}) == source.deliver({"night-0000", "by-hand"})


def test_the_holdout_knows_digits_and_writers(source: DigitsSource) -> None:
    holdout = examples(source.holdout())

    assert holdout.inputs["image"].shape == (10_000, *TENSORS.inputs[0].shape)
    assert holdout.labels[:5].tolist() == [7, 2, 1, 0, 4]
    assert holdout.slices["students"].sum() == holdout.slices["census"].sum() == 5_000
    assert holdout.slices["students"][:5_000].all()
    assert sum(int(holdout.slices[f"digit {digit}"].sum()) for digit in range(10)) == 10_000


def test_training_rows_have_no_writers(source: DigitsSource) -> None:
    delivery = source.deliver({"night-0000"})
    assert delivery is not None

    assert set(examples(source.read(delivery.files).rows).slices) == {
        f"digit {digit}" for digit in range(10)
    }


def test_what_was_fetched_before_is_used_when_no_folder_is_named(
    source: DigitsSource, tmp_path: Path
) -> None:
    files = source._files
    mnist_files._keep(files, tmp_path)

    assert mnist_files.official_files(Places(folder=None, cache=tmp_path)) == files
    assert sorted(path.name for path in tmp_path.iterdir()) == sorted(mnist_files.OFFICIAL_MD5)


def test_a_file_that_is_not_the_official_one_is_never_used(
    source: DigitsSource, tmp_path: Path
) -> None:
    files = source._files
    body = files[mnist_files.TEST_LABELS]
    (tmp_path / f"{mnist_files.TEST_LABELS}.gz").write_bytes(gzip.compress(body[:-1] + b"\x0b"))
    for name in (mnist_files.TRAIN_IMAGES, mnist_files.TRAIN_LABELS, mnist_files.TEST_IMAGES):
        (tmp_path / name).write_bytes(files[name])
    tried: list[str] = []

    found = mnist_files._attempt("the folder", lambda: mnist_files._from_folder(tmp_path), tried)

    assert found is None
    assert mnist_files.OFFICIAL_MD5[mnist_files.TEST_LABELS] in tried[0]


@pytest.mark.servers
def test_without_a_network_one_error_names_every_place_and_the_remedy(tmp_path: Path) -> None:
    # In a process of its own, whose every request goes to a proxy that is not there.
    script = (
        "import sys, pathlib\n"
        "from overnight.models.definition import Places\n"
        "from overnight.models.digits.mnist_files import official_files\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "official_files(Places(folder=folder / 'named', cache=folder / 'cache'))\n"
    )
    nowhere = "http://127.0.0.1:9"
    environment = {
        "PATH": "/usr/bin:/bin",
        **dict.fromkeys(("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"), nowhere),
        "PIP_INDEX_URL": f"{nowhere}/simple",
        "PIP_RETRIES": "0",
        "PIP_NO_CACHE_DIR": "1",
        "PIP_CONFIG_FILE": "/dev/null",
    }

    ended = subprocess.run(
        [sys.executable, "-c", script, str(tmp_path)],
        check=False,
        capture_output=True,
        text=True,
        cwd=Path(__file__).parents[3],
        env=environment,
        timeout=120,
    )

    reported = ended.stderr.splitlines()[-1]
    assert reported.startswith(f"{SourceUnavailable.__module__}.{SourceUnavailable.__name__}")
    for part in ("named", "cache", *mnist_files.MIRRORS, mnist_files.WHEEL):
        assert part in reported
    assert reported.endswith("OVERNIGHT_SOURCE_FOLDERS__DIGITS")


class Mirror(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        return


@pytest.fixture
def mirror(tmp_path: Path) -> Iterator[str]:
    """A web server that offers the files `large` and `small`."""
    (tmp_path / "large").write_bytes(b"large" * 1_000_000)
    (tmp_path / "small").write_bytes(b"small")

    def handler(*arguments):
        return Mirror(*arguments, directory=str(tmp_path))

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join()


def test_the_first_mirror_that_answers_is_used(mirror: str) -> None:
    missing = f"{mirror}missing/"

    files = fetch_first([missing, mirror], ["large", "small"])

    assert files == {"large": b"large" * 1_000_000, "small": b"small"}


@pytest.mark.timeout(60)
def test_mirrors_that_never_answer_are_given_up_in_time() -> None:
    with socket.socket() as silent:
        silent.bind(("127.0.0.1", 0))
        silent.listen()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}/"

        with pytest.raises(BadFile, match=f"{address} did not answer"):
            fetch_first([address], ["small"], race_seconds=0.5)
