"""The Dockerfiles and their entry point, without building an image; `make images` builds them."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

from tests.support.checkers import INFRA, check

FOLDER = INFRA / "images"
ROOT = INFRA.parent
DOCKERFILES = sorted(FOLDER.glob("*.Dockerfile"))


@pytest.mark.servers
def test_hadolint_passes_the_dockerfiles_and_finds_a_planted_fault(tmp_path):
    planted = tmp_path / "Dockerfile"
    planted.write_text(DOCKERFILES[0].read_text().replace("USER 65532:65532", "USER root"))

    code, printed = check("hadolint", *DOCKERFILES)
    assert code == 0, printed
    code, printed = check("hadolint", planted)
    assert code != 0
    assert "DL3002" in printed


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_every_image_is_of_two_stages_and_runs_as_nobody(file):
    text = file.read_text()

    assert len(re.findall(r"^FROM ", text, flags=re.MULTILINE)) == 2
    assert re.findall(r"^USER (.+)$", text, flags=re.MULTILINE) == ["65532:65532"]
    assert "HEALTHCHECK" in text


@pytest.mark.parametrize("file", DOCKERFILES, ids=lambda file: file.stem)
def test_every_image_is_installed_by_the_uv_of_the_lock_file(file):
    packages = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    (locked,) = (each["version"] for each in packages if each["name"] == "uv")

    assert re.findall(r"uv==([\d.]+)", file.read_text()) == [locked]


def test_the_image_of_serving_has_nothing_of_training():
    text = (FOLDER / "serving.Dockerfile").read_text()

    assert set(re.findall(r"--extra (\S+)", text)) == {"serving"}
    assert "--no-dev" in text


def test_the_server_writes_its_ui_where_a_read_only_root_can_be_written():
    text = (FOLDER / "worker.Dockerfile").read_text()

    assert "PREFECT_SERVER_UI_STATIC_DIRECTORY=/var/lib/overnight/" in text


def test_what_the_build_copies_is_let_into_its_context():
    let_in = re.findall(r"^!(\S+)$", (ROOT / ".dockerignore").read_text(), flags=re.MULTILINE)
    links = {link.name for link in (ROOT / "overnight").iterdir() if link.is_symlink()}

    assert all((ROOT / name).exists() for name in let_in)
    assert links <= set(let_in)


def run(folder: Path, *command: str) -> subprocess.CompletedProcess:
    environment = {"PATH": os.environ["PATH"], "SECRETS_FOLDER": str(folder)}
    return subprocess.run(
        [FOLDER / "entrypoint.sh", *command],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_files_in_capitals_become_variables_and_others_stay_files(tmp_path):
    (tmp_path / "OVERNIGHT_PREFECT_AUTH").write_text("a:$(touch x) 'b'\n")
    (tmp_path / "s3.json").write_text("{}")

    done = run(tmp_path, "env")

    assert "OVERNIGHT_PREFECT_AUTH=a:$(touch x) 'b'\n" in done.stdout
    assert "s3" not in done.stdout


def test_without_secrets_the_program_starts_all_the_same(tmp_path):
    assert run(tmp_path / "none", "echo", "two words").stdout == "two words\n"
