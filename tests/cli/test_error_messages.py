"""Errors of the environment are one line on standard error, without a traceback."""

import os
import subprocess
import sys

import pytest

from overnight.infra.stack.ports import free_port
from overnight.store.objects.s3 import S3Address

pytestmark = pytest.mark.servers


def overnight(home, *arguments: str, **settings: str) -> "subprocess.CompletedProcess[str]":
    environment = {name: value for name, value in os.environ.items() if "OVERNIGHT" not in name}
    environment |= {f"OVERNIGHT_{name}": value for name, value in settings.items()}
    return subprocess.run(
        [sys.executable, "-m", "overnight.cli.main", *arguments],
        env=environment | {"OVERNIGHT_HOME": str(home)},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


def assert_one_line(ended: "subprocess.CompletedProcess[str]", *phrases: str) -> None:
    assert ended.returncode == 1, ended.stderr
    assert ended.stderr.count("\n") == 1, ended.stderr
    assert ended.stderr.startswith("overnight: ")
    for phrase in phrases:
        assert phrase in ended.stderr


def test_an_unavailable_store_is_one_line(tmp_path):
    ended = overnight(tmp_path, "up", S3_ENDPOINT=f"http://127.0.0.1:{free_port()}")

    assert_one_line(ended, "does not answer", "OVERNIGHT_S3_ENDPOINT")


@pytest.mark.parametrize(
    "wrong", [{"S3_ACCESS_KEY": "nobody"}, {"S3_SECRET_KEY": "guessed"}], ids=str
)
def test_refused_credentials_are_one_line(tmp_path, s3_address: S3Address, wrong):
    right = {
        "S3_ENDPOINT": s3_address.endpoint,
        "S3_BUCKET": s3_address.bucket,
        "S3_ACCESS_KEY": s3_address.access_key,
        "S3_SECRET_KEY": s3_address.secret_key,
    }

    ended = overnight(tmp_path, "up", **(right | wrong))

    assert_one_line(ended, "denies access", "OVERNIGHT_S3_ACCESS_KEY")


def test_an_unavailable_prefect_is_one_line(tmp_path):
    url = f"http://127.0.0.1:{free_port()}/api"

    ended = overnight(tmp_path, "retrain", "digits", PREFECT_API_URL=url)

    assert_one_line(ended, url, "does not answer")


def test_unavailable_serving_is_one_line(tmp_path):
    (tmp_path / "a.json").write_text("[]")
    url = f"http://127.0.0.1:{free_port()}"

    ended = overnight(tmp_path, "predict", "digits", str(tmp_path / "a.json"), SERVING_URL=url)

    assert_one_line(ended, "serving does not answer", url)


def test_a_wrong_setting_is_one_line(tmp_path):
    ended = overnight(tmp_path, "status", S3_PORT="abc")

    assert_one_line(ended, "OVERNIGHT_S3_PORT", "'abc'")


def test_a_wrong_folder_setting_is_one_line(tmp_path):
    ended = overnight(tmp_path, "status", SOURCE_FOLDERS="/data/mnist")

    assert_one_line(ended, "OVERNIGHT_SOURCE_FOLDERS", "'/data/mnist'")


def test_a_home_that_cannot_be_created_is_one_line(tmp_path):
    (tmp_path / "file").write_text("")

    ended = overnight(tmp_path / "file" / "home", "up")

    assert_one_line(ended, str(tmp_path / "file"))


def test_down_exits_with_4_when_nothing_is_running(tmp_path):
    ended = overnight(tmp_path, "down")

    assert (ended.returncode, ended.stderr) == (4, "")


def test_a_command_ends_without_finalizing_the_interpreter(tmp_path):
    # Finalizing it frees what native threads may still use, such as Arrow's.
    program = (
        "import os, sys, overnight.cli.main as cli\n"
        "class Kept:\n"
        "    def __del__(self, write=os.write): write(1, b'finalized')\n"
        "kept = Kept()\n"
        "sys.argv = ['overnight', *sys.argv[1:]]\n"
        "cli.main()\n"
    )

    def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", program, *arguments]
        environment = os.environ | {"OVERNIGHT_HOME": str(tmp_path)}
        return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)

    helped, wrong = run("retrain", "--help"), run("gc", "--keep", "0")

    assert (helped.returncode, wrong.returncode) == (0, 2)
    assert "Usage" in helped.stdout
    assert "Usage" in wrong.stderr
    assert "finalized" not in helped.stdout + wrong.stdout
