"""What is wrong with the world outside is told in one line, without a traceback."""

import os
import subprocess
import sys

import pytest

from overnight.infra.stack.ports import free_port
from overnight.store.objects.s3 import S3Address

pytestmark = pytest.mark.servers


def overnight(home, *words: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if "OVERNIGHT" not in name}
    environment |= {f"OVERNIGHT_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "overnight.cli.main", *words],
        env=environment | {"OVERNIGHT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_one_line(ended: "subprocess.CompletedProcess[str]", *told: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("overnight: ")
    for words in told:
        assert words in ended.stderr


def test_a_store_that_does_not_answer(tmp_path):
    ended = overnight(tmp_path, "up", S3_ENDPOINT=f"http://127.0.0.1:{free_port()}")

    assert_one_line(ended, "does not answer", "OVERNIGHT_S3_ENDPOINT")


@pytest.mark.parametrize(
    "wrong", [{"S3_ACCESS_KEY": "nobody"}, {"S3_SECRET_KEY": "guessed"}], ids=str
)
def test_a_store_that_refuses_our_credentials(tmp_path, s3_address: S3Address, wrong):
    right = {
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
    }

    ended = overnight(tmp_path, "up", **(right | wrong))

    assert_one_line(ended, "denies access", "OVERNIGHT_S3_ACCESS_KEY")


def test_a_prefect_that_does_not_answer(tmp_path):
    url = f"http://127.0.0.1:{free_port()}/api"

    ended = overnight(tmp_path, "retrain", "digits", PREFECT_API_URL=url)

    assert_one_line(ended, url, "does not answer")


def test_serving_that_does_not_answer(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    url = f"http://127.0.0.1:{free_port()}"

    ended = overnight(tmp_path, "predict", "digits", str(tmp_path / "a.json"), SERVING_URL=url)

    assert_one_line(ended, "serving does not answer", url)


def test_a_wrong_setting(tmp_path):
    ended = overnight(tmp_path, "status", S3_PORT="abc")

    assert_one_line(ended, "OVERNIGHT_S3_PORT", "'abc'")


def test_a_wrong_folder_setting(tmp_path):
    ended = overnight(tmp_path, "status", SOURCE_FOLDERS="/data/mnist")

    assert_one_line(ended, "OVERNIGHT_SOURCE_FOLDERS", "'/data/mnist'")


def test_a_home_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")

    ended = overnight(tmp_path / "file" / "home", "up")

    assert_one_line(ended, str(tmp_path / "file"))


def test_nothing_to_take_down_ends_with_4(tmp_path):
    ended = overnight(tmp_path, "down")

    assert (ended.returncode, ended.stderr) == (4, "")
