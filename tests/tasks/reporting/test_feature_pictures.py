"""Pictures of a feature: the reference beside a day, in bins or by category."""

import numpy as np

from overnight.models.reference import summary_of
from overnight.models.watched_features import WatchedFeature
from overnight.tasks.reporting import feature_pictures

PNG = b"\x89PNG"


def test_bins_and_categories_have_a_bar_each_for_the_reference_and_the_day() -> None:
    numbers = summary_of(WatchedFeature("inputs", "width", np.arange(100.0)))
    names, shares = feature_pictures._bars(numbers, numbers.counted(np.full(50, 99.0)))

    assert names[-1].startswith("from ")
    assert shares[1].tolist() == [0.0] * (len(names) - 1) + [1.0]
    assert feature_pictures.drawn(numbers, numbers.counted(np.arange(9.0))).startswith(PNG)


def test_a_name_that_the_reference_has_not_is_among_the_others() -> None:
    colours = np.array(["red", "blue"] * 30, object)
    summary = summary_of(WatchedFeature("inputs", "colour", colours))

    names, shares = feature_pictures._bars(summary, summary.counted(np.array(["green"], object)))

    assert names == ["blue", "red", "others"]
    assert shares.tolist() == [[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]


def test_of_many_categories_the_largest_are_drawn() -> None:
    many = np.array([f"name-{number}" for number in range(40) for _ in range(number + 1)], object)
    summary = summary_of(WatchedFeature("inputs", "many", many))

    names, _ = feature_pictures._bars(summary, summary.counted(many))

    assert len(names) <= feature_pictures._BARS
    assert "name-39" in names
