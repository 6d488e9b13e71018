"""A dry run needs neither Prefect nor TensorFlow, and starts no run."""

import json
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from overnight.cli.actions import dry_run as dry_run_action
from overnight.cli.actions import why
from overnight.cli.main import app
from overnight.flows.run.context import ModelContext
from overnight.flows.run.dry_run import DryRun, dry_run
from overnight.store.errors import NotFound
from overnight.store.objects.keys import new_version
from overnight.store.registry.actor import Actor
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.ingest import ingest
from overnight.tasks.release.resume import PriorProgress
from overnight.tasks.training import lineage
from tests.support.examples import AT, FILES, manifest
from tests.support.flow_environment import FlowEnvironment
from tests.support.signing_keys import SIGNER, alias_log, registry

pytestmark = pytest.mark.servers


# The arrivals that the source of the digits delivers.
ARRIVALS = 11


def ingest_landing() -> None:
    context = ModelContext.open("digits")
    ingest(
        context.source,
        context.bucket,
        context.rows,
        context.holdout,
        model="digits",
        take_next=False,
        declared=context.declared,
    )


@pytest.fixture
def settled(store_environment: FlowEnvironment) -> FlowEnvironment:
    """A champion that was trained on everything that arrived."""
    store_environment.land_digits("night-0000", 0, 44)
    ingest_landing()
    train()
    return store_environment


@pytest.fixture
def exhausted(store_environment: FlowEnvironment) -> FlowEnvironment:
    """The same, and the source has delivered its last arrival."""
    for number in range(ARRIVALS):
        store_environment.land_digits(f"night-{number:04d}", 4 * number, 4 * number + 4)
    ingest_landing()
    train()
    return store_environment


def train() -> None:
    """Publish and promote the version that a run would make now."""
    context = ModelContext.open("digits")
    data = context.snapshot().lineage
    code, environment = lineage.code(context.definition), lineage.environment()
    settings = context.definition.settings
    fingerprint = lineage.fingerprint(context.definition, settings, data, code, environment)
    version = new_version(fingerprint, AT)
    made = manifest(version=version).model_copy(
        update={
            "fingerprint": fingerprint,
            "tensors": context.definition.tensors,
            "data": data,
            "code": code,
            "environment": environment,
            "training": manifest().training.model_copy(update={"settings": settings.model_dump()}),
        }
    )
    ModelRegistry(context.bucket, made.model).publish(made, FILES, SIGNER)
    registry(context.bucket, "digits").decisions.decide(version, "approved", Actor("a", "r"))
    alias_log(context.bucket, "digits").append(version, expected=None, actor=Actor("a", "r"))


def plan(**changed: float) -> DryRun:
    return dry_run("digits", changed, ingest_first=False)


def test_without_a_dataset_it_is_an_error(store_environment):
    with pytest.raises(NotFound):
        plan()


def test_a_run_with_nothing_new_would_not_train(settled):
    result = plan()

    assert not result.would_train
    assert result.prior.progress is PriorProgress.SETTLED
    assert not any(axis.changed for axis in result.axes)


def test_another_seed_would_train(settled):
    result = plan(seed=7)

    assert result.would_train
    assert [axis.detail for axis in result.axes if axis.changed] == ["seed 1 then, 7 now"]


def test_rows_ingested_since_are_listed_by_arrival(settled):
    settled.land_digits("more", 44, 60)
    ingest_landing()

    result = plan()

    assert result.would_train
    assert [axis.detail for axis in result.axes if axis.changed] == [
        "44 rows then, 60 now; arrived since: more"
    ]


def test_arrivals_in_the_landing_would_be_ingested(settled):
    settled.land_digits("more", 44, 60)

    result = dry_run("digits", {}, ingest_first=True)

    assert (result.arrivals, result.would_train) == (("more",), True)
    assert why.describe(result) == "The next run ingests more and trains on it."


def test_a_parked_arrival_of_the_landing_waits_and_is_not_promised(exhausted):
    name = "feedback-2026-11-22-00000017-doubtful"
    exhausted.land_digits(name, 44, 60)
    ModelContext.open("digits").reviews.park(name, [], compared_with=None)

    result = dry_run("digits", {}, ingest_first=True)

    assert (result.arrivals, result.parked, result.would_train) == ((), (name,), False)
    described = why.describe(result)
    assert described.startswith(f"{name} waits for `overnight accept` or `overnight exclude`. The")
    assert "The next run has nothing to do" in described


def test_a_parked_arrival_of_the_dataset_ends_the_next_run(exhausted, capsys):
    exhausted.land_digits("doubted", 44, 60)
    ingest_landing()
    ModelContext.open("digits").reviews.park("doubted", [], compared_with=None)

    with pytest.raises(SystemExit) as ended:
        why.run("digits", {}, as_json=False)
    text = " ".join(capsys.readouterr().out.split())
    with pytest.raises(SystemExit) as left:
        dry_run_action.exit_unless_changed("digits", {}, ingest_first=True)

    assert (ended.value.code, left.value.code) == (4, 4)
    assert "doubted waits for `overnight accept`" in text
    assert "The next run ends as AwaitingApproval before it trains." in text
    assert capsys.readouterr().out == "digits  AwaitingApproval: doubted\n"


def test_without_a_waiting_arrival_the_source_delivers_the_next_one(store_environment):
    store_environment.land_digits("night-0000", 0, 4)
    ingest_landing()

    assert dry_run("digits", {}, ingest_first=True).arrivals == ("night-0001",)


def test_the_commands_exit_with_4_when_nothing_is_to_be_done(exhausted, capsys):
    with pytest.raises(SystemExit) as as_text:
        why.run("digits", {}, as_json=False)
    text = capsys.readouterr().out
    with pytest.raises(SystemExit) as as_json:
        why.run("digits", {}, as_json=True)
    document = json.loads(capsys.readouterr().out)
    with pytest.raises(SystemExit) as left:
        dry_run_action.exit_unless_changed("digits", {}, ingest_first=True)
    line = capsys.readouterr().out

    assert {error.value.code for error in (as_text, as_json, left)} == {4}
    assert "The next run has nothing to do" in text
    assert (document["would_train"], document["arrivals"]) == (False, [])
    assert "UpToDate" in line


def test_retrain_if_changed_exits_before_it_requests_a_run(exhausted, monkeypatch):
    # Asking for a run would end with 1.
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", "http://127.0.0.1:9/api")

    ended = CliRunner().invoke(app, ["retrain", "digits", "--if-changed"])

    assert (ended.exit_code, "UpToDate" in ended.output) == (4, True)


def test_it_does_not_exit_when_a_setting_changed(settled, capsys):
    dry_run_action.exit_unless_changed("digits", {"seed": 7}, ingest_first=False)

    assert capsys.readouterr().out == ""


def test_it_does_not_exit_before_the_first_run(store_environment, capsys):
    dry_run_action.exit_unless_changed("digits", {}, ingest_first=True)

    assert capsys.readouterr().out == ""


def test_a_dry_run_imports_neither_prefect_nor_tensorflow():
    program = "import sys, overnight.cli.actions.dry_run; "
    program += "print({'prefect', 'tensorflow'} & set(sys.modules))"
    printed = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )

    assert printed.stdout.strip() == "set()"
