"""The documentation is true: links, commands, options, settings, files and outcomes exist."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from overnight.cli.main import app
from overnight.infra.settings import Settings
from overnight.infra.stack.generated_deployments import generate
from overnight.tasks.outcomes import OUTCOMES

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text()
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text()
PAGES = sorted(
    str(path.relative_to(ROOT))
    for pattern in ("*.md", "docs/**/*.md")
    for path in ROOT.glob(pattern)
)


def test_the_layout_of_the_readme_lists_every_tracked_folder() -> None:
    tree = README.split("## Layout")[1].split("```")[1]
    listed = set(re.findall(r"^([a-z]+)/", tree, flags=re.MULTILINE))

    assert listed == {path.split("/")[0] for path in _tracked() if re.match(r"[^.].*/", path)}


def _tracked() -> list[str]:
    done = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_two_commands_are_targets_of_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()

    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE), target


@pytest.mark.parametrize("page", PAGES)
def test_links_of_a_page_lead_to_files(page: str) -> None:
    folder = (ROOT / page).parent

    for link in re.findall(r"\]\(([^)#]+)(?:#[^)]*)?\)", (ROOT / page).read_text()):
        assert link.startswith("http") or (folder / link).exists(), link


@pytest.mark.parametrize("page", PAGES)
def test_sections_that_a_page_links_to_exist(page: str) -> None:
    for link, section in re.findall(r"\]\(([^)#]*)#([^)]+)\)", (ROOT / page).read_text()):
        target = (ROOT / page).parent / link if link else ROOT / page
        titles = re.findall(r"^#+ (.+)$", target.read_text(), flags=re.MULTILINE)
        assert section in {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}


@pytest.mark.parametrize("page", [page for page in PAGES if page != "CHANGELOG.md"])
def test_commands_of_a_page_exist_with_their_options(page: str) -> None:
    commands = get_command(app).commands  # type: ignore[attr-defined]
    text = (ROOT / page).read_text()
    # At the beginning of code: in prose the word after "overnight" may be any.
    for name, rest in re.findall(
        r"(?:`|bin/|^)overnight ([a-z]+)((?: [^`\n#]+)?)", text, re.MULTILINE
    ):
        assert name in commands, name
        options = set(_options(commands[name]))
        for option in re.findall(r"--[a-z-]+", rest):
            assert option in options, f"{name} {option}"


def _options(command: Any) -> Iterator[str]:
    for parameter in command.params:
        yield from (*parameter.opts, *parameter.secondary_opts)
    for sub_command in getattr(command, "commands", {}).values():
        yield from _options(sub_command)


@pytest.mark.parametrize("page", PAGES)
def test_settings_of_a_page_exist(page: str) -> None:
    of_tests = {"test_load_seconds"}
    for name in re.findall(r"OVERNIGHT_([A-Z0-9_]+)[`=\"]", (ROOT / page).read_text()):
        assert name.split("__")[0].lower() in {*Settings.model_fields, *of_tests}, name


def test_default_settings_are_those_of_the_readme() -> None:
    fields = Settings.model_fields
    assert fields["serving_port"].default == 8080
    assert fields["prefect_port"].default == 4200
    assert fields["s3_port"].default == 8333
    assert fields["replicas"].default == 1


@pytest.mark.parametrize("page", PAGES)
def test_files_that_a_page_names_exist(page: str) -> None:
    folders = "benchmarks|cli|docs|flows|infra|models|overnight|serving|store|tasks|tests"
    text = (ROOT / page).read_text().replace("models/wine", "models/digits")

    for path in re.findall(rf"`((?:{folders})/[a-z0-9_./-]+\.(?:py|md|yaml|json))\b", text):
        assert (ROOT / path).exists(), path
    for module in re.findall(r"python -m ((?:benchmarks|overnight)[a-z_.]*)", text):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists(), module


def test_tests_that_the_page_of_faults_names_exist() -> None:
    files = {Path(path).name for path in _tracked()}

    for name in re.findall(r"`(test_\w+\.py)`", (ROOT / "docs" / "faults.md").read_text()):
        assert name in files, name


def test_paths_in_the_makefile_exist() -> None:
    for path in re.findall(r"\btests/[\w/]+(?:\.py)?", (ROOT / "Makefile").read_text()):
        assert (ROOT / path).exists(), path


def test_the_benchmarks_of_monitoring_are_run_by_the_makefile() -> None:
    makefile = (ROOT / "Makefile").read_text()
    programs = [
        path.stem
        for path in sorted((ROOT / "benchmarks" / "monitoring").glob("*.py"))
        if '__name__ == "__main__"' in path.read_text()
    ]

    assert programs
    for name in programs:
        assert f"-m benchmarks.monitoring.{name}" in makefile, name


def test_the_life_of_a_version_is_in_the_order_of_the_flow() -> None:
    steps = re.findall(r"^\d+\. \*\*(\w+)\*\*", ARCHITECTURE, flags=re.MULTILINE)
    source = (ROOT / "flows" / "retrain.py").read_text()
    source += (
        (ROOT / "flows" / "steps" / "finish.py").read_text().split("def await_confirmation")[1]
    )
    # A step is called by its module, or made of a method of one of the nouns of the store.
    calls = re.findall(r"(?:data|training|scoring)\.(\w+)\(|\bstep\([\w.()]+\.(\w+)\)", source)
    named = {"decide": "approve", "ingest_what_there_is": "ingest"}
    called = [named.get("".join(call), "".join(call)) for call in calls]

    assert [step for step in steps if step != "follow"] == [
        step for step in called if step in steps
    ]


def test_every_outcome_that_the_readme_names_exists() -> None:
    section = README.split("## Outcomes of a run")[1].split("##")[0]
    names = re.findall(r"\*\*(\w+)\*\*", section)
    assert len(names) == 8
    assert set(names) <= OUTCOMES


def test_deployments_are_written_as_prefect_reads_them() -> None:
    """Prefect ignores a misspelt key silently, and with it a schedule."""
    document = yaml.safe_load((ROOT / "deployments.yaml").read_text())
    known = {
        "name", "entrypoint", "description", "tags", "parameters",
        "work_pool", "schedules", "concurrency_limit", "triggers",
    }  # fmt: skip

    assert set(document) == {"definitions", "each_model", "deployments"}
    for deployment in yaml.safe_load(generate().text)["deployments"]:
        assert set(deployment) <= known
        assert "overnight" in deployment["tags"]
        for schedule in deployment.get("schedules", []):
            assert set(schedule) == {"cron", "timezone", "slug"}


@pytest.mark.parametrize("target", ["help", "check", "quick", "up", "down", "test"])
def test_make_help_describes_each_target(target: str) -> None:
    output = subprocess.run(
        ["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout

    assert re.search(rf"{target}\b.*\w+ \w+", output)


def test_only_the_settings_read_the_environment() -> None:
    """Starting a child process with our own environment is not reading a setting."""
    reading = re.compile(r"getenv|from os import|os\.environ(\[|\.(get|pop|setdefault|items)\b)")
    readers = {
        str(path.relative_to(ROOT))
        for package in ("cli", "flows", "infra", "models", "serving", "store", "tasks")
        for path in (ROOT / package).rglob("*.py")
        if reading.search(path.read_text())
    }

    # TensorFlow's log level can be set by the environment only.
    training = {"tasks/training/worker.py", "tasks/training/trial_worker.py"}
    # Code samples of the documentation are run by clients.
    samples = {"serving/rest/openapi/code_samples.py"}
    assert readers - {"infra/settings.py"} <= training | samples | _children(readers)


def _children(readers: set[str]) -> set[str]:
    """Modules that pass our environment on to child processes."""
    return {p for p in readers if p.startswith(("infra/stack/", "tasks/child_process.py"))}


@pytest.mark.servers
def test_importing_any_module_has_no_visible_effect(tmp_path: Path) -> None:
    modules = [
        ".".join(("overnight", *path.relative_to(ROOT).with_suffix("").parts))
        for package in ("infra", "models", "serving", "store", "tasks")
        for path in (ROOT / package).rglob("*.py")
        # What needs TensorFlow takes seconds to import, and TensorFlow itself prints.
        if path.name not in {"__main__.py", "__init__.py"}
        and not re.search("^(import|from) (keras|tensorflow)", path.read_text(), re.MULTILINE)
    ]
    code = f"import importlib\nfor m in {modules!r}: importlib.import_module(m)"

    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False
    )

    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    assert list(tmp_path.iterdir()) == []
