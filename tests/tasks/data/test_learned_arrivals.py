"""What was learned before is judged once: whoever serves now, unless somebody rolled back."""

import pytest

from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.data.learned_arrivals import kept_champions, known, known_arrivals
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


def test_a_champion_whose_manifest_is_damaged_hides_not_what_others_learned():
    bucket = MemoryBucket()
    first, second = (bundles.publish(bucket, number) for number in (1, 2))
    log = AliasLog(bucket, bundles.MODEL)
    log.append(first, expected=None, actor=Actor("a", "r"))
    log.append(second, expected=first, actor=Actor("a", "r"))
    bucket._objects[keys.manifest(bundles.MODEL, first)] = b"{"
    learned = ModelRegistry(bucket, bundles.MODEL).manifest(second).data.dataset_version

    known_now = known_arrivals(ModelRegistry(bucket, bundles.MODEL), lambda: {"a": learned})

    assert known_now == {"a"}


def test_known_arrivals_are_those_in_any_snapshot_without_excluded_ones():
    arrived = {"a": 1, "b": 2, "c": 3, "d": 4}
    first = DATA.model_copy(update={"dataset_version": 1})
    third = DATA.model_copy(update={"dataset_version": 3, "without": ("b",)})

    assert known(arrived, [first]) == {"a"}
    assert known(arrived, [first, third]) == {"a", "c"}
    assert known(arrived, []) == frozenset()
