"""The starters are short, their rows the same every time, and what needs no training holds."""

import importlib
import os
from pathlib import Path

import pytest

from overnight.cli.actions.project import sample_data, scaffold
from overnight.models.definition import ModelDefinition, Places
from overnight.models.sources.files import Files
from overnight.tasks.contract import suite

STARTERS = sorted(sample_data.SAMPLES)
UNTRAINED = ("definition", "sources", "rows", "data gates", "holdout", "gates")
FOLDER = Path(__file__).parents[2] / "models" / "starters"


def definition(starter: str) -> ModelDefinition:
    declared: ModelDefinition = importlib.import_module(
        f"overnight.models.starters.{starter}"
    ).DEFINITION
    return declared


def test_every_starter_has_generated_rows() -> None:
    assert sorted(scaffold.starters()) == STARTERS


@pytest.mark.parametrize("starter", STARTERS)
def test_a_starter_is_short_and_its_rows_are_the_same_every_time(starter: str) -> None:
    lines = sum(len(path.read_text().splitlines()) for path in (FOLDER / starter).glob("*.py"))

    assert lines <= 120
    assert sample_data.files(starter) == sample_data.files(starter)


@pytest.mark.parametrize("starter", STARTERS)
def test_a_starter_is_right_before_anything_is_trained(starter: str, tmp_path: Path) -> None:
    for name, body in sample_data.files(starter).items():
        path = tmp_path / "rows" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(body)
        # At rest for long, so that nobody waits for it.
        os.utime(path, (0, 0))
    places = Places(tmp_path / "rows", tmp_path / "cache")

    outcomes = []
    for outcome in suite.run(definition(starter), places, tmp_path):
        outcomes.append(outcome)
        if outcome.check == UNTRAINED[-1]:
            break

    assert [outcome.check for outcome in outcomes] == list(UNTRAINED)
    assert [str(outcome) for outcome in outcomes if not outcome.passed] == []


def test_a_starter_takes_files_of_every_format() -> None:
    places = Places(Path(), Path())

    sources = {name: definition(name).open_source(places) for name in STARTERS}

    assert {name for name, source in sources.items() if not isinstance(source, Files)} == {"images"}
