"""Every command has examples in its help, and help is instant."""

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from overnight.cli.main import app

VERSION = "20261122T020000-0123456789ab"
COMMANDS = [
    "up", "down", "status", "ingest", "retrain", "versions", "show", "promote", "rollback",
    "approve", "reject", "challenge", "predict", "predictions", "feedback", "accept", "exclude",
    "landing", "verify", "gc", "export", "import", "init", "new", "test", "deploy",
    "summary", "notify", "score",
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
