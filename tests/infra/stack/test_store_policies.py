"""A running store learns which models people promote, without being started again."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets, processes, state_file, store_policies
from overnight.infra.stack.state_file import ServiceRecord, StackRecord
from overnight.models import digits

# Writes a dot for each SIGHUP.
_WAITING = """
import signal, sys
signal.signal(signal.SIGHUP, lambda *_: (sys.stdout.write("again\\n"), sys.stdout.flush()))
print("ready", flush=True)
while True: signal.pause()
"""


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    local_secrets.write_credentials(tmp_path)
    return load("administration")


@pytest.fixture
def store(settings: Settings) -> Iterator["subprocess.Popen[str]"]:
    """A process that the state file names as the running store."""
    with subprocess.Popen(
        [sys.executable, "-c", _WAITING], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        record = ServiceRecord(
            name="store", title="", condition="ready", process=processes.identify(process.pid),
            address="", log="", fingerprint="",
        )  # fmt: skip
        state_file.write(
            settings.home,
            StackRecord(
                supervisor=processes.identify(os.getpid()), stopping=False, services=(record,)
            ),
        )
        yield process
        process.kill()


@pytest.mark.servers
def test_a_model_that_becomes_manual_is_one_in_the_running_store(
    settings: Settings, store: "subprocess.Popen[str]", monkeypatch: pytest.MonkeyPatch
) -> None:
    store_policies.apply(settings)
    assert store.stdout is not None
    assert store.stdout.readline() == "again\n"
    assert "models/digits/aliases" not in (settings.home / "s3.json").read_text()

    monkeypatch.setattr(digits, "DEFINITION", replace(digits.DEFINITION, approval="manual"))
    store_policies.apply(settings)

    assert store.stdout.readline() == "again\n"
    assert "models/digits/aliases" in (settings.home / "s3.json").read_text()


def test_a_model_that_cannot_be_read_is_left_to_people(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(digits, "DEFINITION", None)

    store_policies.apply(settings)

    assert "models/digits/aliases" in (settings.home / "s3.json").read_text()
