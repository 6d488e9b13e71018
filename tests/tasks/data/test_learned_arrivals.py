"""What was learned before is judged once: whoever serves now, unless somebody rolled back."""

import pytest

from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.aliases import AliasLog
from overnight.tasks.data.learned_arrivals import kept_champions, known
from tests.support.examples import manifest
from tests.support.serving import bundles

DATA = manifest().data


@pytest.mark.parametrize(
    ("served", "undone", "expected"),
    [
        ([], set(), []),
        ([1], set(), [1]),
        ([1, 2], set(), [1, 2]),
        # An earlier version returns by itself: its successor's data was judged all the same.
        ([1, 2, 1], set(), [1, 2]),
        # A person went back to it.
        ([1, 2, 1], {2}, [1]),
        # And on again: the newest word about the second counts.
        ([1, 2, 1, 2], {2}, [1, 2]),
        ([1, 2, 1, 2, 1], {4}, [1]),
    ],
)
def test_champions_count_unless_they_were_rolled_back(served, undone, expected):
    log = AliasLog(MemoryBucket(), "digits")
    for place, number in enumerate(served):
        log.append(
            bundles.version_name(number),
            expected=bundles.version_name(served[place - 1]) if place else None,
            actor=Actor("a", "r"),
            action="rolled back" if place in undone else "promoted",
        )

    assert kept_champions(log.history()) == tuple(bundles.version_name(item) for item in expected)


def test_known_arrivals_are_those_in_any_snapshot_without_excluded_ones():
    arrived = {"a": 1, "b": 2, "c": 3, "d": 4}
    first = DATA.model_copy(update={"dataset_version": 1})
    third = DATA.model_copy(update={"dataset_version": 3, "without": ("b",)})

    assert known(arrived, [first]) == {"a"}
    assert known(arrived, [first, third]) == {"a", "c"}
    assert known(arrived, []) == frozenset()
