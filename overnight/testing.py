"""The suite of a project's models for pytest: a test file of two lines runs all of it.

    from overnight.testing import test_model

One test a model and check, named after both; they are what `overnight test` runs.
"""

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest

from overnight import models
from overnight.infra.settings import load
from overnight.models.definition import Places
from overnight.tasks.contract import suite
from overnight.tasks.contract.checks import CHECKS

__all__ = ["outcomes", "test_model"]


def _names() -> tuple[str, ...]:
    load()
    return models.names()


@cache
def outcomes(model: str) -> dict[str, suite.Outcome]:
    """The outcome of each check of a model, by its name; they are run once in a process."""
    settings = load()
    with TemporaryDirectory(prefix="overnight-test-") as folder:
        places = Places(settings.source_folders.get(model), settings.home / "sources" / model)
        results: Iterator[suite.Outcome] = suite.run(
            models.find(model), places, Path(folder), seconds=settings.fit_seconds
        )
        return {outcome.check: outcome for outcome in results}


@pytest.mark.parametrize("check", CHECKS)
@pytest.mark.parametrize("model", _names())
def test_model(model: str, check: str) -> None:
    """The model keeps its contract."""
    outcome = outcomes(model)[check]
    if outcome.skipped:
        pytest.skip(outcome.message)
    assert outcome.passed, f"{outcome.message}; {outcome.remedy}"
