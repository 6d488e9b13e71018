"""Every command has examples in its help, and help is instant."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from overnight import __version__
from overnight.cli.main import app

VERSION = "20261122T020000-0123456789ab"
COMMANDS = [
    "up", "down", "status", "ingest", "retrain", "versions", "show", "promote", "rollback",
    "approve", "reject", "challenge", "predict", "predictions", "feedback", "accept", "exclude",
    "landing", "verify", "gc", "export", "import", "init", "new", "test", "deploy",
    "summary", "notify", "score", "runs", "logs", "refusals", "open",
]  # fmt: skip


@pytest.mark.parametrize("command", COMMANDS)
def test_the_help_of_every_command_has_examples(command):
    shown = CliRunner().invoke(app, [command, "--help"])

    assert shown.exit_code == 0
    assert f"overnight {command}" in shown.output.split("Examples")[1]


def test_the_help_lists_all_commands_and_the_exit_codes():
    shown = CliRunner().invoke(app, ["--help"])

    assert all(f" {command} " in shown.output for command in COMMANDS)
    assert "3 refused by a gate" in " ".join(shown.output.split())


def help_of(command: str, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("COLUMNS", "80")
    shown = CliRunner().invoke(app, [*command.split(), "--help"])
    assert shown.exit_code == 0
    return shown.output


@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("retrain", "  --approval [automatic|manual]"),
        ("retrain", "  --start-from [scratch|champion]"),
        ("retrain", "  --force "),
        ("retrain", "  --ingest-first / --no-ingest-first"),
        ("challenge", "  --maximum-disagreement-share NUMBER"),
        ("challenge", "  --maximum-error-share NUMBER"),
        ("gc", "  --delete / --dry-run"),
        ("keys new", "  --for [training|administration|operator|serving]"),
        ("status", "  --watch "),
    ],
)
def test_help_shows_choices_and_whole_names_at_80_columns(command, line, monkeypatch):
    lines = help_of(command, monkeypatch).splitlines()

    assert any(f"{each} ".startswith(f"{line.rstrip()} ") for each in lines)


@pytest.mark.parametrize("command", ["retrain", "challenge", "keys", "keys trust", "predict"])
def test_help_gives_flags_no_type_and_fills_its_lines(command, monkeypatch):
    text = help_of(command, monkeypatch)

    prose = [line for line in text.splitlines() if not line.startswith("  overnight ")]
    assert "bool" not in text
    assert max(map(len, prose)) <= 80
    assert "…" not in text.replace("ed25519:…", "").replace("--reason …", "")


def test_the_version_is_printed():
    shown = CliRunner().invoke(app, ["--version"])

    assert (shown.exit_code, shown.output) == (0, f"overnight {__version__}\n")


@pytest.mark.servers
def test_help_imports_nothing_heavy():
    program = (
        "import sys, overnight.cli.main; "
        "print({'prefect', 'boto3', 'numpy', 'tensorflow', 'pydantic'} & set(sys.modules))"
    )

    imported = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert imported.stdout.strip() == "set()"


@pytest.mark.parametrize(
    "arguments",
    [
        ["nonsense"],
        ["retrain"],
        ["retrain", "digits", "--epochs", "none"],
        ["retrain", "digits", "--epochs", "0"],
        ["retrain", "digits", "--approval", "perhaps"],
        ["rollback", "digits"],
        ["accept", "digits", "night-0007"],
        ["exclude", "digits", "night-0007"],
        ["accept", "digits", "--reason", "no arrival"],
        ["promote", "digits", "20261122T020000-0123456789ab"],
        ["reject", "digits", "20261122T020000-0123456789ab"],
        ["challenge", "digits", "--reason", "neither version nor mode"],
        ["challenge", "digits", "20261122T020000-0123456789ab", "--reason", "no mode"],
        ["challenge", "digits", "20261122T020000-0123456789ab", "--shadow"],
        ["challenge", "digits", "--shadow", "--reason", "no version"],
        ["challenge", "digits", "20261122T020000-0123456789ab", "--stop", "--reason", "both"],
        ["challenge", "digits", "--stop", "--canary", "--reason", "both"],
        f"challenge digits {VERSION} --canary --share 0 --reason why".split(),
        f"challenge digits {VERSION} --canary --share 1.1 --reason why".split(),
        ["ingest", "digits", "/no/such/file"],
        ["predict", "digits"],
        ["predict", "digits", "/"],
        ["predictions"],
        ["predictions", "digits", "--rows", "0"],
        ["predictions", "digits", "--since", "yesterday"],
        ["predictions", "digits", "--yes"],
        ["predictions", "digits", "--delete-client", " "],
        ["predictions", "digits", "--delete-client", "alice", "--since", "2026-11-22"],
        ["down", "--wait-seconds", "-1"],
        ["show"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_the_usage(arguments):
    shown = CliRunner().invoke(app, arguments)

    assert shown.exit_code == 2
    assert "Usage" in shown.output
