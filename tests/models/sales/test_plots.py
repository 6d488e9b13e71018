"""The report shows the forecasts that are furthest from what was sold."""

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.sales import plots
from overnight.models.sales.series import holdout_examples
from tests.support.genuine_sales import STORES, arriving, rows

HISTORY = [{"loss": 1.0, "validation_loss": 1.0, "wape": 0.9, "validation_wape": 0.9}]


@pytest.fixture(scope="module")
def examples() -> Examples:
    before, held = (
        rows(arriving(*ends, stores=STORES[:1]))
        for ends in (("2017-01-01", "2017-04-30"), ("2017-05-01", "2017-05-10"))
    )
    return holdout_examples(before, held)


def test_the_worst_mistakes_come_first_whichever_way_they_err() -> None:
    sold = np.arange(20.0)
    units = np.stack([sold, sold, sold], axis=1)
    units[3, 1], units[7, 1], units[11, 1] = 0, 100, 1

    assert plots.worst(sold, units)[:3].tolist() == [7, 11, 3]
    assert len(plots.worst(sold, units)) == 12


def test_the_worst_mistakes_are_drawn_and_named(examples: Examples) -> None:
    answered = {"units": np.tile(examples.labels[:, None], 3) + np.array([0, 1, 2])}

    drawn = plots.pictures(examples, answered, HISTORY)

    assert drawn["Worst mistakes"].startswith(b"\x89PNG")
    assert len(drawn["Worst mistakes"]) > 10_000
    assert plots._name(examples, 0).split(", ")[1] == f"store {STORES[0]}"
