"""On 80 columns tables keep what they are for: ids, keys and times are whole, and times in UTC."""

from datetime import UTC, datetime

import pytest

from overnight.cli.actions import diff, keys, show, status, versions
from overnight.cli.actions.bucket import verify
from overnight.cli.actions.run_table import print_runs
from overnight.cli.version_names import ShortNames
from overnight.infra import keyring
from overnight.infra.settings import load
from overnight.store.maintenance.audit_rules import Audit
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import Finding, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.evaluation.diff import Difference, Disagreement, MetricChange
from tests.support.examples import FILES, VERSION, manifest
from tests.support.signing_keys import SIGNER, alias_log, registry
from tests.support.terminal import printed, terminal

OLDER = "20261121T020000-0123456789ab"
ACCURACY = Measurement(metric="accuracy", value=0.99481, n=10_000, low=0.9932, high=0.9961)
RUN = {
    "name": "digits 2026-11-22 02:00 Refused",
    "id": "0199c7d2-3f1a-7c11-9b52-0242ac120002",
    "flow": "retrain/digits",
    "state": "Refused",
    "type": "COMPLETED",
    "message": "5 of 47 gates failed: " + "accuracy 99.07 % against 99.48 % " * 12,
    "started": "2026-11-22T03:00:00+01:00",
    "seconds": 187.0,
}


@pytest.fixture
def bucket() -> MemoryBucket:
    bucket = MemoryBucket()
    for version in (OLDER, VERSION):
        made = manifest(version=version).model_copy(update={"measurements": (ACCURACY,)})
        ModelRegistry(bucket, "digits").publish(made, FILES, SIGNER)
    registry(bucket, "digits").decisions.decide(OLDER, "approved", Actor("ada"))
    log = alias_log(bucket, "digits")
    log.append(OLDER, expected=None, actor=Actor("ada", "the first"))
    return bucket


def test_versions_are_newest_first_with_short_names_and_their_state(bucket: MemoryBucket) -> None:
    console = terminal()

    versions.show(versions.gather(bucket, "digits"), console, ShortNames([OLDER, VERSION]))

    text = printed(console)
    assert "made (UTC)" in text
    assert text.index("20261122T0200") < text.index("20261121T0200")
    assert VERSION not in text
    assert "2026-11-22 02:00" in text
    assert "accuracy 99.48 %" in text
    assert "pending approval" in text
    assert "champion since" in text


def service(title: str, address: str, *, grpc_address: str) -> dict[str, object]:
    return {
        "title": title,
        "condition": "ready",
        "address": address,
        "grpc_address": grpc_address,
        "restarts": 0,
        "message": "",
    }


def test_the_status_fits_and_names_what_waits(bucket: MemoryBucket) -> None:
    console = terminal()
    document = {
        "services": [
            service("Object store (S3)", "http://127.0.0.1:8333", grpc_address=""),
            service("Serving", "http://127.0.0.1:8080", grpc_address="127.0.0.1:8081"),
        ],
        "supervised": True,
        "administration": "a file",
        "models": {"digits": status.of_model(bucket, load(), "digits", [])},
        "waiting_runs": [],
        "runs": [RUN],
        "paused_schedules": [],
        "problems": [],
    }
    document["models"]["digits"]["pending"] = [VERSION]

    status.show(document, console)

    text = printed(console)
    assert "20261121T0200" in text
    (grpc,) = (line.split() for line in text.splitlines() if "gRPC" in line)
    assert grpc == ["Serving,", "gRPC", "127.0.0.1:8081"]
    assert "since (UTC)" in text
    assert "digits: 20261122T0200 waits for approval: overnight approve" in text
    assert "2026-11-22 02:00  retrain/digits  Refused  3 min 7 s" in text
    assert "retrain/digits Refused: 5 of 47 gates failed" in text


def test_a_message_that_is_left_out_in_part_says_so() -> None:
    console = terminal()

    print_runs([RUN], console, ids=True)

    text = printed(console)
    assert "0199c7d2-3f1a " in text
    assert text.rstrip().endswith("…")
    assert "99.4…" not in text


def test_gates_fit_with_the_messages_of_those_that_refused() -> None:
    console = terminal()
    findings = (
        Finding(gate="AtLeast", metric="accuracy", passed=True, message="fine", value=0.99),
        Finding(
            gate="MaximumRegression",
            metric="accuracy",
            slice="digit 7",
            passed=False,
            message="it is worse",
            value=-0.0126,
            bound=-0.003,
            p=0.85,
            alpha=0.025,
        ),
    )
    made = manifest().model_copy(update={"findings": findings, "measurements": (ACCURACY,)})
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(made, FILES, SIGNER)

    show._print(*show.gather(bucket, "digits", VERSION), console)

    text = printed(console)
    assert "MaximumRegression" in text
    assert "accuracy on digit 7" in " ".join(text.split())
    assert "MaximumRegression accuracy on digit 7: it is worse" in text


def test_a_comparison_says_which_is_better_and_names_rows() -> None:
    console = terminal()
    worse = ACCURACY.model_copy(update={"value": 0.98})
    comparison = Difference(
        first=OLDER,
        second=VERSION,
        axes=(),
        measured=((ACCURACY, worse), (ACCURACY, ACCURACY)),
        rows=10_000,
        changed=1,
        gained=0,
        lost=1,
        examples=(Disagreement(8056, "9.5", "2, 4, 8", "3, 6, 12", "292, GROCERY, 2017-10-05"),),
        changes=(MetricChange(-0.0148, -0.018, -0.012), MetricChange(0.0, -0.001, 0.001)),
    )

    diff.show(comparison, console)

    text = printed(console)
    assert "20261121T0200 → 20261122T0200" in text
    assert "-0.0148  -0.0180 to -0.0120  worse" in text
    assert "-0.0010 to +0.0010  unclear" in text
    assert "292, GROCERY, 2017-10-05" in text


def test_public_keys_are_whole_on_one_line(monkeypatch, tmp_path, capsys) -> None:
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    for name, value in (("FORCE_COLOR", "1"), ("NO_COLOR", "1"), ("COLUMNS", "80")):
        monkeypatch.setenv(name, value)
    keys.new("a-rather-long-name-of-a-machine", None, of="training")
    (key,) = keyring.trusted(load().trusted_keys)
    capsys.readouterr()

    keys.show(as_json=False)

    assert f"  {key.line}" in capsys.readouterr().out.splitlines()


def test_an_audit_is_counted_in_a_sentence_for_each_model() -> None:
    console = terminal()
    tallies = {"digits": {"manifest": 12, "decision": 1, "file of a table": 48}}

    verify._print(Audit((), tallies, signatures_checked=True), [], [], console)

    sentence = " ".join(printed(console).split())
    assert sentence.startswith("digits: 12 versions, 0 files, 1 decision,")
    assert "48 table files; no findings" in sentence


def test_times_of_every_zone_are_shown_in_utc() -> None:
    console = terminal()

    print_runs([RUN | {"started": datetime(2026, 11, 22, 1, 30, tzinfo=UTC).isoformat()}], console)

    assert "2026-11-22 01:30" in printed(console)
