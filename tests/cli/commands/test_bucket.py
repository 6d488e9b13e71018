"""`overnight verify`, `gc`, `export` and `import`: output and exit codes."""

import json
import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from uuid import uuid4

import pytest
from typer.testing import CliRunner

from overnight.cli.main import app
from overnight.cli.terminal import format_bytes
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.runs import RunRecord, Runs
from overnight.store.registry.tombstones import Tombstone
from tests.support import filled_bucket
from tests.support.serving import bundles
from tests.support.signing_keys import write_keys


@pytest.mark.parametrize(
    "arguments",
    [
        ["verify", "--from", "/"],
        ["gc", "--keep", "0"],
        ["gc", "--days", "-1"],
        ["gc", "--grace-days", "0"],
        ["export"],
        ["export", __file__],
        ["import"],
        ["import", "/no/such/folder"],
    ],
)
def test_wrong_usage_exits_with_2_and_prints_the_usage(arguments):
    shown = CliRunner().invoke(app, arguments)

    assert shown.exit_code == 2
    assert "Usage" in shown.output


def test_bytes_are_formatted_with_units():
    assert [format_bytes(n) for n in (0, 999, 1_000, 1_234_567)] == [
        "0 B",
        "999 B",
        "1.0 kB",
        "1.2 MB",
    ]


@pytest.fixture
def overnight(s3_address: S3Address, tmp_path: Path):
    """The command line of a home that trusts the key of tests."""
    write_keys(tmp_path)
    inherited = {name: value for name, value in os.environ.items() if "OVERNIGHT" not in name}
    settings = {
        "OVERNIGHT_HOME": str(tmp_path),
        "OVERNIGHT_S3_ENDPOINT": s3_address.endpoint,
        "OVERNIGHT_S3_BUCKET": s3_address.bucket,
        "OVERNIGHT_S3_ACCESS_KEY": s3_address.access_key,
        "OVERNIGHT_S3_SECRET_KEY": s3_address.secret_key,
    }

    def run(*arguments: str, **changed: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-m", "overnight.cli.main", *arguments]
        environment = inherited | settings | changed
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, check=False, timeout=120
        )

    return run


@pytest.mark.servers
def test_a_bucket_is_verified_collected_and_verified_again(
    overnight, s3_bucket: S3Bucket, s3_address: S3Address
):
    filled_bucket.append_holdout(s3_address)
    for number in (1, 2, 3):
        filled_bucket.publish_version(s3_bucket, s3_address, number)
    runs = Runs(s3_bucket, "digits")
    for month in (1, 2, 3):
        at = datetime(2020, month, 1, tzinfo=UTC)
        ended = RunRecord(
            model="digits", flow="retrain", run=str(uuid4()), event="ended", started=at, at=at
        )
        runs.keep(ended)
    strict = ("gc", "digits", "--keep", "1", "--days", "0")

    dry = overnight(*strict)
    for_programs = overnight(*strict, "--json")
    untouched = s3_bucket.keys_below("models")
    done = overnight(*strict, "--delete")
    nothing = overnight(*strict, "--delete")
    # Credentials of AWS in the shell must not be used.
    after = overnight("verify", "digits", "--json", AWS_SESSION_TOKEN="of-somebody")

    assert dry.returncode == 0
    assert "nothing was removed" in dry.stdout
    assert keys.version_file("digits", bundles.version_name(1), "network.keras") in untouched
    document = json.loads(for_programs.stdout)
    deletions = [deletion["version"] for deletion in document["models"]["digits"]["deletions"]]
    assert deletions == [bundles.version_name(1), bundles.version_name(2)]
    assert (for_programs.returncode, document["freed_bytes"]) == (0, 0)
    assert document["size_bytes"] > 0
    assert (done.returncode, nothing.returncode) == (0, 0)
    assert "nothing to delete" in nothing.stdout
    assert "freed" in done.stdout
    # Of records of runs this old, those of the newest two months stay.
    assert len(s3_bucket.keys_below(keys.runs("digits"))) == 2
    document = json.loads(after.stdout)
    assert (after.returncode, document["clean"], document["signatures_checked"]) == (0, True, True)
    assert sum("collected on" in note["what"] for note in document["notes"]) == 2
    keyless = {"OVERNIGHT_TRUSTED_KEYS_FILE": "/nowhere/trusted"}
    assert overnight("verify", "digits", **keyless).returncode == 1
    assert overnight("verify", "digits", "--without-signatures", **keyless).returncode == 0
    left = [key for key in s3_bucket.keys_below("models") if key.endswith("network.keras")]
    assert left == [keys.version_file("digits", bundles.version_name(3), "network.keras")]


@pytest.mark.servers
def test_a_champion_that_an_interrupted_gc_marked_is_restored(
    overnight, s3_bucket: S3Bucket, s3_address: S3Address
):
    filled_bucket.append_holdout(s3_address)
    version = filled_bucket.publish_version(s3_bucket, s3_address, 1)
    tombstone = Tombstone(
        model="digits", version=version, was="published", files=(), size_bytes=0, by="x",
        reason="", at=datetime(2026, 1, 1, tzinfo=UTC),
    )  # fmt: skip
    s3_bucket.create(keys.tombstone("digits", version), tombstone.encoded())

    shown = overnight("gc", "digits")
    done = overnight("gc", "digits", "--delete")

    assert (shown.returncode, done.returncode) == (0, 0)
    assert "it is restored" in " ".join(shown.stdout.split())
    assert ModelRegistry(s3_bucket, "digits").tombstones.find(version) is None


@pytest.mark.servers
def test_objects_missing_from_the_export_are_listed_and_all_others_repaired_in_one_run(
    overnight, s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path
):
    filled_bucket.append_holdout(s3_address)
    filled_bucket.publish_version(s3_bucket, s3_address, 1)
    overnight("export", str(tmp_path / "monday"))
    late = filled_bucket.publish_version(s3_bucket, s3_address, 2)
    lost = [key for key in s3_bucket.keys_below("datasets/digits/rows") if key.endswith("0.json")]
    lost += [
        f"datasets/digits/holdout/{name}"
        for name in filled_bucket.table(s3_address, "holdout").files()
    ]
    lost.append(keys.manifest("digits", bundles.version_name(1)))
    late_file = keys.version_file("digits", late, "golden.npz")
    for key in (*lost, late_file):
        s3_bucket._client.delete_object(Bucket=s3_address.bucket, Key=key)

    repaired = overnight("verify", "--repair", "--from", str(tmp_path / "monday"), "--json")

    document = json.loads(repaired.stdout)
    assert repaired.returncode == 1
    assert {*document["added"]} == {*lost}
    assert document["lost"] == [late_file]
    assert {finding["key"] for finding in document["findings"]} == {late_file}


@pytest.mark.servers
def test_findings_exit_with_1_and_are_repaired_from_an_export(
    overnight, s3_bucket: S3Bucket, s3_address: S3Address, tmp_path: Path
):
    filled_bucket.append_holdout(s3_address)
    filled_bucket.publish_version(s3_bucket, s3_address, 1)
    lost = keys.version_file("digits", bundles.version_name(1), "golden.npz")
    exported = overnight("export", str(tmp_path / "monday"))
    s3_bucket.discard(lost)

    verified = overnight("verify")
    repaired = overnight("verify", "--repair", "--from", str(tmp_path / "monday"))

    assert exported.returncode == 0
    assert (verified.returncode, repaired.returncode) == (1, 0)
    assert lost in verified.stdout
    assert f"added   {lost}" in repaired.stdout


@pytest.mark.servers
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["verify", "nobody"], "no model is called 'nobody'"),
        (["export", "{home}"], "expected it to be empty"),
        (["import", "{home}"], "the index of a finished export, found none"),
    ],
)
def test_bad_input_is_one_line_on_standard_error(
    overnight, s3_bucket, tmp_path, arguments, message
):
    ended = overnight(*(argument.format(home=tmp_path) for argument in arguments))

    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert message in ended.stderr


@pytest.mark.servers
@pytest.mark.parametrize("arguments", [["verify"], ["gc"]])
def test_an_unavailable_store_is_one_line_on_standard_error(tmp_path, arguments):
    environment = {name: value for name, value in os.environ.items() if "OVERNIGHT" not in name}
    environment |= {
        "OVERNIGHT_HOME": str(tmp_path),
        "OVERNIGHT_S3_ENDPOINT": "http://127.0.0.1:9",
        "PYTHONPATH": str(Path(__file__).parents[3]),
    }

    ended = subprocess.run(
        [sys.executable, "-m", "overnight.cli.main", *arguments],
        env=environment, cwd=tmp_path, capture_output=True, text=True, check=False, timeout=60,
    )  # fmt: skip

    assert (ended.returncode, ended.stderr.count("\n")) == (1, 1)
    assert "does not answer" in ended.stderr
