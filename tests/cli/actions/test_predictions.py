"""`overnight predictions`: the newest rows, and the deletion of a client's."""

import json
import os
import pty
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from overnight.cli.main import app
from overnight.store.errors import ConfigurationError
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Bucket
from overnight.store.predictions.records import client_digest
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.registry.registry import ModelRegistry
from overnight.store.schema import TensorSpec
from tests.support.examples import FILES, manifest
from tests.support.prediction_log import answered, segment, sent, ship
from tests.support.signing_keys import SIGNER

pytestmark = pytest.mark.servers
NOW = datetime.now(UTC).replace(microsecond=0)


@pytest.fixture
def tables(
    s3_bucket: S3Bucket, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[PredictionTable, LabelTable]:
    """The tables of a bucket that the settings of this process name."""
    address = s3_bucket.address
    settings = {
        "HOME": str(tmp_path),
        "S3_ENDPOINT": address.endpoint,
        "S3_BUCKET": address.bucket,
        "S3_ACCESS_KEY": address.access_key,
        "S3_SECRET_KEY": address.secret_key,
    }
    for name, value in settings.items():
        monkeypatch.setenv(f"OVERNIGHT_{name}", value)
    predictions = PredictionTable.on_s3(address, "digits")
    labels = LabelTable.on_s3(address, "digits")
    predictions.append(
        {
            segment(1): [
                answered("of-alice", at=NOW, client="alice", n=2),
                answered("of-nobody", at=NOW - timedelta(hours=30)),
            ]
        }
    )
    labels.append({segment(1): [sent("of-alice", at=NOW, client="bob")]})
    return predictions, labels


def overnight(*arguments: str, answer: str | None = None):
    return CliRunner().invoke(app, ["predictions", *arguments], input=answer)


def test_the_newest_rows_are_printed(tables: tuple[PredictionTable, LabelTable]) -> None:
    printed = overnight("digits").output.splitlines()
    assert [row.count("of-alice") for row in printed[-3:]] == [1, 1, 0]
    assert "of-nobody" in printed[-1]

    rows = json.loads(overnight("digits", "--rows", "1", "--json").output)
    assert [(row["request"], row["row"], row["output.p"]) for row in rows] == [("of-alice", 0, 0.5)]
    assert datetime.fromisoformat(rows[0]["at"]) == NOW

    since = f"{NOW - timedelta(hours=1):%Y-%m-%dT%H:%M}"
    assert len(json.loads(overnight("digits", "--since", since, "--json").output)) == 2


def test_a_long_id_is_known_by_its_end_and_the_callers_is_shown(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    record = answered("request-of-a-batch-000000017", at=NOW + timedelta(1), caller="order-17")
    tables[0].append({segment(2): [record]})

    newest = overnight("digits", "--rows", "1").output

    assert "…-batch-000000017" in newest
    assert "order-17" in newest


def test_the_likeliest_class_is_shown_and_what_explains_it_is_left_out(
    tables: tuple[PredictionTable, LabelTable], s3_bucket: S3Bucket
) -> None:
    classes = ("zero", "one", "seven")
    outputs = (
        TensorSpec(name="digit", datatype="FP32", shape=(3,)),
        TensorSpec(name="parts", datatype="FP32", shape=(2,)),
        TensorSpec(name="hand", datatype="FP32", shape=(2,), labels=("left", "right")),
    )
    made = manifest()
    tensors = made.tensors.model_copy(update={"outputs": outputs, "labels": classes})
    made = made.model_copy(update={"tensors": tensors})
    ModelRegistry(s3_bucket, "digits").publish(made, FILES, SIGNER)
    answer = {
        "digit": np.array([[0.1, 0.078, 0.822]], np.float32),
        "parts": np.array([[3.25, 4.5]], np.float32),
        "hand": np.array([[0.4, 0.6]], np.float32),
    }
    record = answered("of-classes", at=NOW + timedelta(1), outputs=answer, version=made.version)
    tables[0].append({segment(3): [record]})

    printed = overnight("digits", "--rows", "1").output
    (row,) = json.loads(overnight("digits", "--rows", "1", "--json").output)

    assert "seven (82.2%)" in printed
    assert "right (60.0%)" in printed
    assert "parts" not in printed
    assert "3.25" not in printed
    assert row["output.parts"] == [3.25, 4.5]


def test_nothing_recorded_yet_is_said_and_an_unknown_model_is_named(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    nothing = overnight("sales").output
    assert "nothing is recorded of sales" in nothing
    assert "OVERNIGHT_PREDICTION_LOG_SEGMENT_SECONDS" in nothing
    assert json.loads(overnight("sales", "--json").output) == []

    unknown = overnight("digitz")
    assert unknown.exit_code != 0
    assert "no model is called 'digitz'; known are: digits, sales" in str(unknown.exception)


def test_a_client_is_deleted_in_the_tables_and_in_the_spool(
    tables: tuple[PredictionTable, LabelTable], s3_bucket: S3Bucket
) -> None:
    predictions, labels = tables
    ship(s3_bucket, 2, answered("later", at=NOW, client=client_digest("digits", "alice")))

    done = overnight("digits", "--delete-client", "alice", "--yes", "--json")

    assert (done.exit_code, json.loads(done.stdout)) == (0, {"answers": 3, "labels": 1})
    assert predictions.read().column("request").to_pylist() == ["of-nobody"]
    assert len(labels.read()) == 0
    assert s3_bucket.keys_below(keys.spool("digits")) == []
    again = overnight("digits", "--delete-client", "alice", "--yes")
    assert again.exit_code == 4
    assert "digits has no rows of 'alice'" in again.output


def test_without_anybody_to_ask_nothing_is_deleted(
    tables: tuple[PredictionTable, LabelTable],
) -> None:
    done = overnight("digits", "--delete-client", "alice", answer="y\n")

    assert isinstance(done.exception, ConfigurationError)
    assert "2 rows of answers and 1 labels are of 'alice'" in str(done.exception)
    assert "--yes" in str(done.exception)
    assert len(tables[0].read()) == 3


@pytest.mark.parametrize(("answer", "left"), [(b"n\n", 3), (b"y\n", 1)])
def test_a_person_is_asked(
    tables: tuple[PredictionTable, LabelTable], answer: bytes, left: int
) -> None:
    person, terminal = pty.openpty()
    os.write(person, answer)
    command = ["predictions", "digits", "--delete-client", "alice"]

    done = subprocess.run(
        [sys.executable, "-m", "overnight.cli.main", *command],
        stdin=terminal,
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    os.close(person)
    os.close(terminal)
    assert "2 rows of answers and 1 labels are of 'alice'; delete them for good?" in done.stderr
    assert (done.returncode, len(tables[0].read())) == (int(left == 3), left), done.stderr
