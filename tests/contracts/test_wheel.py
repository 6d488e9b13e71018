"""The wheel holds one package with all of its files."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = [pytest.mark.servers, pytest.mark.timeout(600)]


def test_the_wheel_holds_one_top_level_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}

    assert {top for top in tops if not top.endswith(".dist-info")} == {"overnight"}


# What builds images and runs on other machines is used in a checkout.
OF_CHECKOUTS = ("infra/compose", "infra/images/", "infra/kubernetes/")


def test_the_wheel_holds_every_file_of_the_packages(wheel: Path) -> None:
    tracked = subprocess.run(
        ["git", "ls-files", "cli", "flows", "infra", "models", "serving", "store", "tasks"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    ).stdout.split()

    with zipfile.ZipFile(wheel) as archive:
        held = set(archive.namelist())

    packaged = {name for name in tracked if not name.startswith(OF_CHECKOUTS)}
    assert {f"overnight/{name}" for name in packaged} - held == set()
    assert not any(f"overnight/{name}" in held for name in tracked if name not in packaged)


def test_it_runs_unpacked_next_to_a_foreign_folder_called_models(
    wheel: Path, tmp_path: Path
) -> None:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "site")
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "__init__.py").write_text("raise RuntimeError('somebody else')")
    environment = os.environ | {"PYTHONPATH": str(tmp_path / "site")}

    ended = subprocess.run(
        [sys.executable, "-c",
         "from overnight import models; print(models.__file__, *sorted(models.catalogue()))"],
        cwd=tmp_path, env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip

    file, *names = ended.stdout.split()
    assert Path(file).is_relative_to(tmp_path / "site")
    assert names == ["digits", "sales"]
