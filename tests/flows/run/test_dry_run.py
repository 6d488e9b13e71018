"""What a night would do is found out without Prefect, TensorFlow or a run."""

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
from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.ingest import ingest
from overnight.tasks.data.snapshot import snapshot
from overnight.tasks.release.resume import Progress
from overnight.tasks.training import lineage
from tests.support.examples import AT, FILES, manifest
from tests.support.prefect_world import World
from tests.support.signing_keys import SIGNER

pytestmark = pytest.mark.servers


# The nights that the source of the digits has to bring.
NIGHTS = 11


def take_in() -> None:
    house = ModelContext.open("digits")
    ingest(house.source, house.bucket, house.rows, house.holdout, model="digits", take_next=False)


@pytest.fixture
def settled(quiet_world: World) -> World:
    """A world in which what came was trained, and serves."""
    quiet_world.arrive("night-0000", 0, 44)
    take_in()
    train()
    return quiet_world


@pytest.fixture
def exhausted(quiet_world: World) -> World:
    """The same, and the source has nothing more to bring."""
    for night in range(NIGHTS):
        quiet_world.arrive(f"night-{night:04d}", 4 * night, 4 * night + 4)
    take_in()
    train()
    return quiet_world


def train() -> None:
    """Publish and promote what a run would have made of what there is."""
    house = ModelContext.open("digits")
    data = snapshot(house.rows, house.holdout).lineage
    code, environment = lineage.code(house.definition), lineage.environment()
    settings = house.definition.settings
    fingerprint = lineage.fingerprint(house.definition, settings, data, code, environment)
    version = new_version(fingerprint, AT)
    made = manifest(version=version).model_copy(
        update={
            "fingerprint": fingerprint,
            "data": data,
            "code": code,
            "environment": environment,
            "training": manifest().training.model_copy(update={"settings": settings.model_dump()}),
        }
    )
    ModelRegistry(house.bucket, made.model).publish(made, FILES, SIGNER)
    ModelRegistry(house.bucket, "digits").decide(version, "approved", Actor("a", "r"))
    AliasLog(house.bucket, "digits").append(version, expected=None, actor=Actor("a", "r"))


def seen(**changed: float) -> DryRun:
    return dry_run("digits", changed, ingest_first=False)


def test_nothing_was_ever_taken_in(quiet_world):
    with pytest.raises(NotFound):
        seen()


def test_a_night_with_nothing_new_would_do_nothing(settled):
    found = seen()

    assert not found.would_train
    assert found.prior.progress is Progress.SETTLED
    assert not any(axis.changed for axis in found.axes)


def test_another_seed_would_train(settled):
    found = seen(seed=7)

    assert found.would_train
    assert [axis.detail for axis in found.axes if axis.changed] == ["seed 1 then, 7 now"]


def test_rows_that_were_taken_in_since_are_told_by_arrival(settled):
    settled.arrive("more", 44, 60)
    take_in()

    found = seen()

    assert found.would_train
    assert [axis.detail for axis in found.axes if axis.changed] == [
        "44 rows then, 60 now; arrived since: more"
    ]


def test_what_waits_in_the_landing_would_be_taken_in(settled):
    settled.arrive("more", 44, 60)

    found = dry_run("digits", {}, ingest_first=True)

    assert (found.arrivals, found.would_train) == (("more",), True)
    assert why.describe(found) == "The next run ingests more and trains on it."


def test_without_a_waiting_arrival_the_source_is_asked(quiet_world):
    quiet_world.arrive("night-0000", 0, 4)
    take_in()

    assert dry_run("digits", {}, ingest_first=True).arrivals == ("night-0001",)


def test_when_nothing_is_to_be_done_the_shell_is_left_with_4(exhausted, capsys):
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


def test_the_command_leaves_before_anybody_is_asked_for_a_run(exhausted, monkeypatch):
    # Asking for a run would end with 1.
    monkeypatch.setenv("OVERNIGHT_PREFECT_API_URL", "http://127.0.0.1:9/api")

    ended = CliRunner().invoke(app, ["retrain", "digits", "--if-changed"])

    assert (ended.exit_code, "UpToDate" in ended.output) == (4, True)


def test_a_changed_night_is_not_left(settled, capsys):
    dry_run_action.exit_unless_changed("digits", {"seed": 7}, ingest_first=False)

    assert capsys.readouterr().out == ""


def test_the_first_night_is_not_left(quiet_world, capsys):
    dry_run_action.exit_unless_changed("digits", {}, ingest_first=True)

    assert capsys.readouterr().out == ""


def test_looking_imports_neither_prefect_nor_tensorflow():
    asked = "import sys, overnight.cli.actions.dry_run; "
    asked += "print({'prefect', 'tensorflow'} & set(sys.modules))"
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "set()"
