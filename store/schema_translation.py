"""Translation between the schemas of two versions of a model.

A version numbers its categories and classes in the order of its own schema. Where two versions
meet on the same rows, categories and classes are matched by name, so that each version is sent what
it learned and its answers mean the same as the other's.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from overnight.store.errors import IncomparableVersions
from overnight.store.schema import Schema, TensorSpec

Array = NDArray[Any]
_SHOWN = 3


@dataclass(frozen=True, eq=False)
class _Renumbering:
    """The number of each category in another vocabulary; -1 where that has neither it nor other."""

    tensor: str
    vocabulary: tuple[str, ...]
    numbers: NDArray[np.int64]

    def known(self, rows: Array) -> NDArray[np.bool_]:
        """Which of the values have a number in the other vocabulary, in the shape of `rows`."""
        inside = (rows >= 0) & (rows < len(self.numbers))
        return np.asarray(inside & (self.numbers[np.where(inside, rows, 0)] >= 0))

    def applied(self, rows: Array) -> Array:
        """The rows with the numbers of the other vocabulary.

        Raises:
            IncomparableVersions: it has no such category.
        """
        known = self.known(rows)
        if not known.all():
            missing = [self._name(int(number)) for number in np.unique(rows[~known])]
            more = f" and {len(missing) - _SHOWN} more" if len(missing) > _SHOWN else ""
            raise IncomparableVersions(
                f"{self.tensor!r} has no category {', '.join(missing[:_SHOWN])}{more} there, and "
                "no other category that stands for it"
            )
        return self.numbers[rows].astype(rows.dtype)

    def _name(self, number: int) -> str:
        inside = 0 <= number < len(self.vocabulary)
        return repr(self.vocabulary[number]) if inside else str(number)


@dataclass(frozen=True, eq=False)
class Translation:
    """From rows in one schema to the same rows in another, and from answers there back.

    `classes` are the places of the one schema's classes in the other's; None where they agree.
    """

    renumberings: Mapping[str, _Renumbering]
    answers: Mapping[str, _Renumbering]
    prediction: str
    classes: NDArray[np.int64] | None

    def inputs(self, rows: Mapping[str, Array]) -> Mapping[str, Array]:
        """Inputs by name, [n, …] each, as the other version encodes them.

        Raises:
            IncomparableVersions: the other version has no number for a category in them.
        """
        if not self.renumberings:
            return rows
        return {
            name: self.renumberings[name].applied(array) if name in self.renumberings else array
            for name, array in rows.items()
        }

    def answerable(self, rows: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Which of n rows the other version can be sent: those whose categories it knows: [n]."""
        n = len(next(iter(rows.values())))
        answerable = np.ones(n, np.bool_)
        for name, renumbering in self.renumberings.items():
            answerable &= renumbering.known(rows[name]).reshape(n, -1).all(axis=1)
        return answerable

    def outputs(self, answers: Mapping[str, Array]) -> dict[str, Array]:
        """Answers of the other version by name, [n, …] each, in the order of this one's classes."""
        translated = dict(answers)
        for name in self.answers.keys() & answers.keys():
            translated[name] = self.answers[name].applied(np.asarray(answers[name]))
        if self.classes is not None and self.prediction in translated:
            translated[self.prediction] = np.asarray(translated[self.prediction])[:, self.classes]
        return translated


@lru_cache(maxsize=64)
def translation(own: Schema, other: Schema) -> Translation:
    """The translation of rows in the schema `own` for a version with the schema `other`.

    Raises:
        IncomparableVersions: they have other classes, or a tensor has categories in one of them
            only, or outputs have other categories.
    """
    ours, theirs = ({spec.name: spec for spec in schema.inputs} for schema in (own, other))
    renumberings = {
        name: renumbering
        for name in ours.keys() & theirs.keys()
        if (renumbering := _renumbering(ours[name], theirs[name])) is not None
    }
    ours, theirs = ({spec.name: spec for spec in schema.outputs} for schema in (own, other))
    answers = {
        name: renumbering
        for name in ours.keys() & theirs.keys()
        # Back: from the other version's numbers to ours.
        if (renumbering := _renumbering(theirs[name], ours[name], exact=True)) is not None
    }
    return Translation(renumberings, answers, own.outputs[0].name, _classes(own, other))


def why_incomparable(own: Schema, other: Schema) -> str:
    """Why there is no translation between two schemas; empty where there is one."""
    try:
        translation(own, other)
    except IncomparableVersions as error:
        return str(error)
    return ""


def same_encoding(own: Schema, other: Schema) -> bool:
    """Whether every category and every class has the same number in both schemas."""
    vocabularies = [
        {spec.name: spec.vocabulary for spec in (*schema.inputs, *schema.outputs)}
        for schema in (own, other)
    ]
    return vocabularies[0] == vocabularies[1] and own.labels == other.labels


def _renumbering(
    ours: TensorSpec, theirs: TensorSpec, *, exact: bool = False
) -> _Renumbering | None:
    """How the categories of one tensor are numbered in the other; None where they agree.

    `exact`: both must have the same categories.
    """
    before, after = ours.vocabulary, theirs.vocabulary
    if (before, ours.otherwise) == (after, theirs.otherwise):
        return None
    if not before or not after:
        raise IncomparableVersions(f"{ours.name!r} has categories in only one of them")
    if exact and set(before) != set(after):
        raise IncomparableVersions(
            f"the output {ours.name!r} has other categories: {_apart(before, after)}"
        )
    number_of = {name: number for number, name in enumerate(after)}
    other = number_of.get(theirs.otherwise, -1)
    numbers = [number_of.get(name, other) for name in before]
    # What stands for all others need not have the same name.
    if ours.otherwise and ours.otherwise not in number_of:
        numbers[before.index(ours.otherwise)] = other
    return _Renumbering(ours.name, before, np.array(numbers, np.int64))


def _classes(own: Schema, other: Schema) -> NDArray[np.int64] | None:
    """The place of each of our classes among the others'; None where they agree."""
    if own.labels == other.labels:
        return None
    if sorted(own.labels) != sorted(other.labels):
        raise IncomparableVersions(f"their classes differ: {_apart(own.labels, other.labels)}")
    prediction = own.outputs[0]
    if prediction.shape != (len(own.labels),) or len(set(own.labels)) != len(own.labels):
        raise IncomparableVersions(
            f"their classes are in another order, and {prediction.name!r} has no number for each"
        )
    return np.array([other.labels.index(label) for label in own.labels], np.int64)


def _apart(before: Sequence[str], after: Sequence[str]) -> str:
    """The names that only one of two lists has."""
    only = [
        f"{', '.join(map(repr, names[:_SHOWN]))} only in {where}"
        for names, where in (
            ([name for name in before if name not in after], "one"),
            ([name for name in after if name not in before], "the other"),
        )
        if names
    ]
    return "; ".join(only)
