"""Secrets are in no log, state, parameter, artifact, report, bundle, traceback or process list."""

import os
import secrets
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

import psutil
import pytest
from prefect.settings import PREFECT_API_DATABASE_CONNECTION_URL, PREFECT_API_URL

from overnight.flows.ingest import ingest
from overnight.flows.promote import promote
from overnight.flows.retrain import retrain
from overnight.infra.stack.ports import free_port
from overnight.store.datasets.delta_table import Dataset
from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.registry import ModelRegistry
from overnight.store.trust.request_proof import Statement, sign_statement
from tests.support.flow_environment import FlowEnvironment
from tests.support.limits import LIMIT
from tests.support.outcomes import outcome
from tests.support.s3_server import ACCESS, SECRET
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.training, pytest.mark.timeout(600)]
ROOT = Path(__file__).parents[2]
_OF_NOTIFICATIONS = ("NOTIFY_WEBHOOK_SECRET", "NOTIFY_SMTP_PASSWORD")


def planted(name: str) -> str:
    return f"planted-{name}-{secrets.token_hex(12)}"


class CommandLines:
    """Records the command line of every process of this machine."""

    def __init__(self) -> None:
        self.commands: set[str] = set()
        self._stopped = threading.Event()

    @contextmanager
    def recording(self) -> Iterator[None]:
        thread = threading.Thread(target=self._record)
        thread.start()
        try:
            yield
        finally:
            self._stopped.set()
            thread.join()

    def _record(self) -> None:
        while not self._stopped.wait(0.2):
            for process in psutil.process_iter():
                with suppress(psutil.Error):
                    self.commands.add(" ".join(process.cmdline()))


@pytest.fixture
def hidden(
    flow_environment: FlowEnvironment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """A secret in every setting that takes one; the store's is real, so that runs work."""
    hidden_values = {
        name: planted(name)
        for name in ("ADMIN_TOKEN", "TOKEN", "S3_OPERATOR_SECRET_KEY", "PREFECT_AUTH", "MLFLOW")
    }
    hidden_values |= {name: planted(name) for name in ("WEBHOOK_PATH", *_OF_NOTIFICATIONS)}
    for name in ("ADMIN_TOKENS_FILE", "PREDICTION_KEYS_FILE"):
        hidden_values[name] = planted(name)
        file = tmp_path / name
        file.write_text(f"ann {hidden_values[name]}\n")
        file.chmod(0o600)
        monkeypatch.setenv(f"OVERNIGHT_{name}", str(file))
    nowhere = f"http://ann:{hidden_values['MLFLOW']}@127.0.0.1:{free_port()}"
    plain = {
        name: hidden_values[name] for name in ("ADMIN_TOKEN", "TOKEN", "S3_OPERATOR_SECRET_KEY")
    }
    plain |= {
        "PREFECT_AUTH": f"ann:{hidden_values['PREFECT_AUTH']}",
        "MLFLOW_TRACKING_URI": nowhere,
    }
    plain |= {"MLFLOW_SECONDS": "1", "LOG_LEVEL": "DEBUG", "NOTIFY_SMTP_USER": "ann"}
    plain |= {name: hidden_values[name] for name in _OF_NOTIFICATIONS}
    path = hidden_values["WEBHOOK_PATH"]
    plain |= {"NOTIFY_WEBHOOK_URL": f"http://127.0.0.1:{free_port()}/{path}"}
    for name, value in plain.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    hidden_values |= {name: planted(name) for name in ("ADDRESS", "SESSION")}
    return {**hidden_values, "S3_SECRET_KEY": SECRET, "WRONG": planted("WRONG")}


def database() -> bytes:
    """The database files of the Prefect server."""
    file = Path(PREFECT_API_DATABASE_CONNECTION_URL.value().split(":///")[1])
    return b"".join(part.read_bytes() for part in file.parent.glob(f"{file.name}*"))


def command(home: Path, *words: str, **settings: str) -> str:
    ended = subprocess.run(
        [sys.executable, "-m", "overnight.cli.main", *words],
        env={**os.environ, "OVERNIGHT_HOME": str(home), **settings},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert ended.returncode == 1, ended.stderr
    return ended.stdout + ended.stderr


@pytest.mark.usefixtures("constant_digits")
def test_planted_secrets_are_found_nowhere(
    flow_environment: FlowEnvironment,
    hidden: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setenv("OVERNIGHT_OVERRIDERS", "ann")
    output: list[str] = []
    processes = CommandLines()

    with processes.recording():
        # A whole run, and a decision about its version.
        flow_environment.land_digits("few", 0, 1_200)
        retrained = retrain(
            epochs=1, override_gates=True, requested_by="ann", reason="a test", return_state=True
        )
        (version,) = ModelRegistry(flow_environment.bucket, "digits").versions()
        statement = Statement("promote", "digits", {"version": version, "decision": "move"})
        proof = sign_statement(hidden["ADMIN_TOKENS_FILE"], statement, at=datetime.now(UTC))
        moved = promote(version, "digits", decision="move", proof=proof, return_state=True)
        # Runs that fail: the store refuses, and the signing key is invalid.
        with monkeypatch.context() as wrong:
            wrong.setenv("OVERNIGHT_S3_SECRET_KEY", hidden["WRONG"])
            wrong.setenv("OVERNIGHT_S3_SESSION_TOKEN", hidden["SESSION"])
            denied = ingest(return_state=True)
            elsewhere = f"http://127.0.0.1:{free_port()}"
            output.append(command(tmp_path, "up", "--no-train"))
            output.append(command(tmp_path, "status", OVERNIGHT_S3_ENDPOINT=elsewhere, PORT="x"))
        within = f"http://ann:{hidden['ADDRESS']}@127.0.0.1:{free_port()}"
        output += [
            command(tmp_path, "status", **{f"OVERNIGHT_{name}": within})
            for name in ("S3_ENDPOINT", "PREFECT_API_URL", "SERVING_URL")
        ]
        with monkeypatch.context() as wrong:
            key = tmp_path / "signing.pem"
            key.write_text(hidden["WRONG"])
            wrong.setenv("OVERNIGHT_SIGNING_KEY_FILE", str(key))
            unsigned = retrain(epochs=1, seed=2, ingest_first=False, return_state=True)
        output.append(_of_the_table(flow_environment, hidden["WRONG"]))
        output += _of_serving(flow_environment, hidden, tmp_path / "host")

    output += [str(state.message) for state in (retrained, moved, denied, unsigned)]
    output += [caplog.text, *capfd.readouterr(), *processes.commands]
    output += [repr(flow_environment.bucket.address)]
    kept = [
        flow_environment.bucket.read(key, LIMIT)
        for key in flow_environment.bucket.keys_below("models")
    ]
    assert [outcome(state) for state in (retrained, moved)] == ["Promoted", "Promoted"]
    assert denied.is_failed()
    assert unsigned.is_failed()
    assert len(kept) > 5
    assert PREFECT_API_URL.value()
    for where, body in {
        "output": "\n".join(output).encode(errors="replace"),
        "bucket": b"\n".join(kept),
        "database": database(),
    }.items():
        leaked = [name for name, secret in hidden.items() if secret.encode() in body]
        assert leaked == [], f"{where} has {leaked}"
        # Not empty: it has the names that were written.
        assert b"digits" in body


def _of_the_table(flow_environment: FlowEnvironment, secret: str) -> str:
    """The errors of Delta Lake when the store refuses it."""
    address = S3Address(
        flow_environment.bucket.address.endpoint,
        flow_environment.bucket.address.bucket,
        ACCESS,
        secret,
    )
    table = Dataset.on_s3(address, "digits", "rows")
    with pytest.raises(OvernightError) as raised:
        table.read()
    chained = raised.value.__context__
    return f"{table!r} {raised.value!r} {chained!r} {address!r}"


def _of_serving(
    flow_environment: FlowEnvironment, hidden: dict[str, str], place: Path
) -> list[str]:
    """The log and answers of serving, with valid and invalid tokens."""
    settings = {
        **follow_settings(flow_environment.bucket.address),
        "admin_token": hidden["ADMIN_TOKEN"],
        "s3_operator_access_key": ACCESS,
        "s3_operator_secret_key": hidden["S3_OPERATOR_SECRET_KEY"],
        "prediction_keys_file": os.environ["OVERNIGHT_PREDICTION_KEYS_FILE"],
        "log_requests": "true",
        "log_level": "DEBUG",
    }
    with run_serving(place=place, **settings) as serving:
        until(serving.is_ready, what="serving ready")
        answers = [
            serving.request("POST", path, body, Authorization=f"Bearer {hidden[name]}")
            for path, body in (
                ("/api/models/digits/rollback", {"reason": "a test"}),
                ("/v2/models/digits/infer", {}),
                ("/api/nowhere", {}),
            )
            for name in ("ADMIN_TOKEN", "PREDICTION_KEYS_FILE", "WRONG")
        ]
    return [serving.log.read_text(), *(str(answer) for answer in answers)]
