"""An earlier version is reinstated only if it beats the champion on new arrivals."""

import numpy as np
import pytest

from overnight import models
from overnight.models.examples import Examples
from overnight.models.gates import MinimumImprovement
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.evaluation.reinstate import previous_champions, reconsider
from tests.support.serving import bundles

DEFINITION = models.find("digits")
GATE = MinimumImprovement(margin=0)
IMAGES = np.random.default_rng(5).integers(0, 256, (200, 28, 28), dtype=np.uint8)
# The higher its number, the surer a tiny version is of a zero: these two disagree on every row.
SURE_OF_ZERO, NOT_SURE = 400, 1


def labelled(right: int) -> Examples:
    """Rows whose labels are what a version answers."""
    answers = bundles.probabilities(right, IMAGES).argmax(axis=1)
    return Examples({"image": IMAGES}, answers.astype(np.int64))


def version(name: str, number: int) -> PublishedPredictor:
    return PublishedPredictor(name, bundles.network(number), DEFINITION.tensors)


def result(tonight: Examples, *earlier: int, looks: int = 1):
    return reconsider(
        DEFINITION,
        GATE,
        champion=version("champion", NOT_SURE),
        earlier=[version(f"v{number}", number) for number in earlier],
        examples=tonight,
        looks=looks,
    )


def test_the_versions_disagree():
    answers = [bundles.probabilities(n, IMAGES).argmax(axis=1) for n in (SURE_OF_ZERO, NOT_SURE)]

    assert (answers[0] != answers[1]).all()


def test_a_version_that_is_right_again_is_reinstated():
    returned = result(labelled(SURE_OF_ZERO), SURE_OF_ZERO)

    assert returned is not None
    assert returned.version == f"v{SURE_OF_ZERO}"
    assert returned.finding.passed
    assert "beats the champion on the new arrivals" in str(returned)


def test_a_version_that_is_no_better_is_not_reinstated():
    assert result(labelled(NOT_SURE), SURE_OF_ZERO) is None


def test_equal_versions_are_not_reinstated():
    assert result(labelled(NOT_SURE), NOT_SURE) is None


def test_each_of_several_versions_is_held_to_its_share_of_the_error_rate():
    # Given rows of which an earlier version has 117 right and the champion 83: p = 0.01.
    rows = labelled(SURE_OF_ZERO)
    rows.labels[117:] = labelled(NOT_SURE).labels[117:]

    alone, one_of_two = result(rows, SURE_OF_ZERO), result(rows, SURE_OF_ZERO, NOT_SURE)

    # Then it beats the champion at 0.0125 by itself, and not at half of it among two.
    assert alone is not None
    assert 0.00625 < alone.finding.p < 0.0125
    assert one_of_two is None


def test_rows_that_are_tested_again_each_run_share_one_error_rate():
    rows = labelled(SURE_OF_ZERO)
    rows.labels[117:] = labelled(NOT_SURE).labels[117:]

    first, second = (result(rows, SURE_OF_ZERO, looks=looks) for looks in (1, 2))

    # Then the second look has a third of what the first had.
    assert first is not None
    assert first.finding.alpha == pytest.approx(GATE.alpha / 2)
    assert second is None
    assert result(labelled(SURE_OF_ZERO), SURE_OF_ZERO, looks=2).finding.alpha == pytest.approx(
        GATE.alpha / 6
    )


def test_too_few_rows_reinstate_nothing():
    tonight = labelled(SURE_OF_ZERO)
    few = tonight.take(np.arange(20))

    assert result(few, SURE_OF_ZERO) is None


def test_without_earlier_versions_there_is_nothing_to_reconsider():
    assert result(labelled(SURE_OF_ZERO)) is None


@pytest.mark.parametrize(
    ("served", "expected"),
    [
        ([], ()),
        ([1], ()),
        ([1, 2], (1,)),
        ([1, 2, 1], (2,)),
        ([1, 2, 3, 2, 4], (2, 3, 1)),
        (list(range(1, 9)), (7, 6, 5, 4, 3)),
    ],
)
def test_the_last_champions_are_tried_newest_first(served, expected):
    log = AliasLog(MemoryBucket(), "digits")
    for before, number in zip([None, *served], served, strict=False):
        over = bundles.version_name(before) if before else None
        log.append(bundles.version_name(number), expected=over, actor=Actor("a", "r"))

    assert previous_champions(log.history()) == tuple(
        bundles.version_name(item) for item in expected
    )


def test_a_version_that_was_rolled_back_is_not_reinstated():
    log = AliasLog(MemoryBucket(), "digits")
    first, second = bundles.version_name(1), bundles.version_name(2)
    log.append(first, expected=None, actor=Actor("a", "r"))
    log.append(second, expected=first, actor=Actor("a", "r"))
    log.append(first, expected=second, actor=Actor("ann", "complaints"), action="rolled back")
    assert previous_champions(log.history()) == ()

    # Promoted again by a person, it may return like any other.
    log.append(second, expected=first, actor=Actor("ann", "it was the camera"))
    log.append(first, expected=second, actor=Actor("ann", "r"))
    assert previous_champions(log.history()) == (second,)
