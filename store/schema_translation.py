"""Translation between the schemas of two versions of a model.

Where two versions meet on the same rows, each is sent published values by its own schema. Inputs
that a version does not take are left out, and one that only it takes gets the default that it
declares. Categories and classes that are numbers are matched by name, so that a version is sent
what it learned, and its answers mean the same as the other's.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from overnight.store.category_numbers import Renumbering, names_apart, renumbering
from overnight.store.encoding.arrays import objects
from overnight.store.encoding.inputs import default_rows
from overnight.store.encoding.values import is_missing
from overnight.store.errors import IncomparableVersions
from overnight.store.schema import NUMPY_TYPES, Schema, TensorSpec

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Translation:
    """From rows in one schema to the same rows in another, and from answers there back.

    `classes` are, by output, the places of the one schema's classes in the other's, -1 for those
    that the other lacks; without those outputs whose classes agree.
    """

    ours: Mapping[str, TensorSpec]
    theirs: Mapping[str, TensorSpec]
    renumberings: Mapping[str, Renumbering]
    answers: Mapping[str, Renumbering]
    classes: Mapping[str, NDArray[np.int64]]
    is_same: bool

    @property
    def left_out(self) -> tuple[str, ...]:
        """The inputs that the other version does not take."""
        return tuple(name for name in self.ours if name not in self.theirs)

    @property
    def added(self) -> tuple[str, ...]:
        """The inputs that only the other version takes; it is sent their defaults."""
        return tuple(name for name in self.theirs if name not in self.ours)

    def inputs(self, rows: Mapping[str, Array]) -> Mapping[str, Array]:
        """Published values by input, [n, …] each, for the other version.

        Raises:
            IncomparableVersions: the other version does not know a category in them, or has no
                number for a value.
        """
        if self.is_same:
            return rows
        n = len(next(iter(rows.values())))
        sent = {name: default_rows(self.theirs[name], n) for name in self.added}
        for name in self.ours.keys() & self.theirs.keys():
            if name in rows:
                sent[name] = self._sent(name, rows[name])
            elif self.ours[name].default is not None:
                # What the row means here, and not what the other would take it for.
                sent[name] = self._sent(name, default_rows(self.ours[name], n))
        return {name: sent[name] for name in self.theirs if name in sent}

    def answerable(self, rows: Mapping[str, Array]) -> NDArray[np.bool_]:
        """Which of n rows the other version can be sent: those whose values it knows: [n]."""
        n = len(next(iter(rows.values())))
        unknown = np.zeros(n, np.int64)
        for name in self.ours.keys() & self.theirs.keys() & rows.keys():
            unknown += (~self._known(name, rows[name])).reshape(n, -1).sum(axis=1)
        return np.asarray(unknown == 0, np.bool_)

    def outputs(self, answers: Mapping[str, Array]) -> dict[str, Array]:
        """Answers of the other version by name, [n, …] each, in the order of this one's classes.

        Classes that it lacks have the probability 0. Of classes that only it has, the probability
        is shared among the others in their proportion.
        """
        translated = dict(answers)
        for name in self.answers.keys() & answers.keys():
            translated[name] = self.answers[name].applied(np.asarray(answers[name]))
        for name in self.classes.keys() & answers.keys():
            translated[name] = _in_order(np.asarray(answers[name]), self.classes[name])
        return translated

    def judged(self, labels: Mapping[str, Array]) -> NDArray[np.bool_] | None:
        """Which of n rows have labels of classes that the other version knows, [n]; None: all.

        `labels` are by output, [n]: numbers of this schema's classes.
        """
        judged: NDArray[np.bool_] | None = None
        for name in self.classes.keys() & labels.keys():
            numbers = np.asarray(labels[name])
            places = self.classes[name]
            inside = (numbers >= 0) & (numbers < len(places))
            known = inside & (places[np.where(inside, numbers, 0).astype(np.int64)] >= 0)
            known = np.asarray(known.reshape(len(numbers), -1).all(axis=1), np.bool_)
            judged = known if judged is None else np.logical_and(judged, known)
        return judged

    def _sent(self, name: str, rows: Array) -> Array:
        if name in self.renumberings and rows.dtype.kind in "iu":
            return self.renumberings[name].applied(rows)
        known = self._known(name, rows)
        if not known.all():
            value = rows[~known.reshape(rows.shape)].reshape(-1)[0]
            raise IncomparableVersions(f"{name!r} cannot be {value!r} there")
        if name in self.renumberings and rows.dtype.kind == "O":
            # Names stay as they are beside categories by number, alone or in lists.
            values = (_renumbered(each, self.renumberings[name]) for each in rows.reshape(-1))
            return objects(values, rows.size).reshape(rows.shape)
        if name in self.renumberings and rows.dtype.kind == "f":
            # Categories with gaps among them.
            gaps = np.isnan(rows)
            numbers = np.where(gaps, self._some_category(name), rows).astype(np.int64)
            return np.where(gaps, np.nan, self.renumberings[name].applied(numbers))
        ours, theirs = self.ours[name], self.theirs[name]
        kind = np.dtype(NUMPY_TYPES[theirs.datatype])
        if ours.datatype == theirs.datatype or "O" in (rows.dtype.kind, kind.kind):
            return rows
        with_gaps = rows.dtype.kind == "f" and kind.kind in "iu" and bool(np.isnan(rows).any())
        return rows if with_gaps else rows.astype(kind)

    def _some_category(self, name: str) -> int:
        """A number that the other vocabulary has, in the place of a gap."""
        return int(np.argmax(self.renumberings[name].numbers >= 0))

    def _known(self, name: str, rows: Array) -> NDArray[np.bool_]:
        """Which values the other version knows, in the shape of `rows`."""
        theirs = self.theirs[name]
        if rows.dtype.kind in "OUS":
            other = self.renumberings.get(name)
            flat = [_is_known(value, theirs, other) for value in rows.reshape(-1).tolist()]
            return np.array(flat, np.bool_).reshape(rows.shape)
        if name in self.renumberings:
            gaps = np.isnan(rows) if rows.dtype.kind == "f" else np.zeros(rows.shape, np.bool_)
            numbers = np.where(gaps, 0, rows).astype(np.int64)
            return np.where(gaps, theirs.accepts_missing, self.renumberings[name].known(numbers))
        known = np.ones(rows.shape, np.bool_)
        if rows.dtype.kind == "f":
            missing = np.isnan(rows)
            if not theirs.accepts_missing:
                known = np.logical_and(known, ~missing)
            rows = np.where(missing, 0, rows)
        kind = np.dtype(NUMPY_TYPES[theirs.datatype])
        if kind.kind in "iu" and rows.dtype != kind:
            limits = np.iinfo(kind)
            known &= (rows >= limits.min) & (rows <= limits.max) & (rows % 1 == 0)
        return known


@lru_cache(maxsize=64)
def translation(own: Schema, other: Schema) -> Translation:
    """The translation of rows in the schema `own` for a version with the schema `other`.

    Raises:
        IncomparableVersions: nothing can be sent for an input, or the answers have no common
            meaning; says which and why.
    """
    ours, theirs = ({spec.name: spec for spec in schema.inputs} for schema in (own, other))
    for name, spec in theirs.items():
        if name not in ours and spec.default is None:
            raise IncomparableVersions(
                f"it takes the input {name!r}, which the other does not, and declares no default "
                "of it"
            )
    shared = [name for name in ours if name in theirs]
    for name in shared:
        if why := _unsendable(ours[name], theirs[name]):
            raise IncomparableVersions(f"{name!r} {why}")
    renumberings = {
        name: numbers
        for name in shared
        if (numbers := renumbering(ours[name], theirs[name])) is not None
    }
    return Translation(
        ours,
        theirs,
        renumberings,
        _answers(own, other),
        _classes(own, other),
        is_same=not renumberings and _same_inputs(own, other),
    )


def why_incomparable(own: Schema, other: Schema) -> str:
    """Why there is no translation between two schemas; empty where there is one."""
    try:
        translation(own, other)
    except IncomparableVersions as error:
        return str(error)
    return ""


def same_encoding(own: Schema, other: Schema) -> bool:
    """Whether the same network fits both: its inputs, and what every number of them means."""
    return _meaning(own) == _meaning(other)


def labels_of(schema: Schema, output: TensorSpec) -> tuple[str, ...]:
    """The names of an output's classes: its own, or of the first output those of the schema."""
    return output.labels or (schema.labels if output.name == schema.outputs[0].name else ())


def _meaning(schema: Schema) -> list[object]:
    return [
        *(
            (
                *(spec.name, spec.datatype, spec.shape, spec.vocabulary),
                *(spec.text, spec.missing, spec.lengths, spec.padding),
            )
            for spec in schema.inputs
        ),
        *(
            (spec.name, spec.datatype, spec.shape, spec.vocabulary, labels_of(schema, spec))
            for spec in schema.outputs
        ),
    ]


def _same_inputs(own: Schema, other: Schema) -> bool:
    """Whether rows of one schema are rows of the other as they are."""
    forms = [
        [
            (s.name, s.datatype, s.shape, s.lengths, s.accepts_missing, s.default)
            for s in schema.inputs
        ]
        for schema in (own, other)
    ]
    return forms[0] == forms[1]


def _unsendable(ours: TensorSpec, theirs: TensorSpec) -> str:
    """Why values of one input can never be sent to another of its name; empty where they can."""
    varies = bool(theirs.lengths) and len(ours.shape) == len(theirs.shape)
    sides = [spec.shape[1 if varies else 0 :] for spec in (ours, theirs)]
    reasons = {
        "is a text in only one of them": (ours.text is None) != (theirs.text is None),
        "has categories in only one of them": bool(ours.vocabulary) != bool(theirs.vocabulary),
        "is a date in only one of them": ours.date != theirs.date,
        "has varying lengths in only one of them": bool(ours.lengths) and not theirs.lengths,
        f"has the shape {list(ours.shape)} in one of them, and {list(theirs.shape)} in the other": (
            sides[0] != sides[1]
        ),
        f"is {ours.datatype} in one of them, and {theirs.datatype} in the other": (
            ours.datatype != theirs.datatype and "BOOL" in {ours.datatype, theirs.datatype}
        ),
    }
    return next((reason for reason, holds in reasons.items() if holds), "")


def _is_known(value: object, spec: TensorSpec, numbers: Renumbering | None) -> bool:
    """Whether a text, a category by name, a date or a row of varying length may be sent."""
    if is_missing_value(value):
        return spec.accepts_missing
    if isinstance(value, str):
        return not spec.vocabulary or bool(spec.otherwise) or value in spec.vocabulary
    if spec.lengths and isinstance(value, Sequence | np.ndarray):
        fits = len(value) <= spec.lengths[-1]
        return fits and (
            not spec.vocabulary or all(_is_known(each, spec, numbers) for each in _elements(value))
        )
    if spec.vocabulary and _is_number(value):
        if numbers is not None:
            return value % 1 == 0 and bool(numbers.known(np.asarray(value, np.int64)))
        return 0 <= value < len(spec.vocabulary)
    return True


def _is_number(value: object) -> TypeGuard[int | float]:
    return isinstance(value, int | float | np.number) and not is_missing(value)


def _elements(row: Any) -> Iterator[object]:
    """The values of a row of varying length, at any depth."""
    for each in row:
        if isinstance(each, list | tuple | np.ndarray):
            yield from _elements(each)
        else:
            yield each


def _renumbered(value: object, numbers: Renumbering) -> object:
    """A category or a row of them, all of which are known, with the other's numbers."""
    if isinstance(value, list | tuple | np.ndarray):
        return [_renumbered(each, numbers) for each in value]
    return int(numbers.applied(np.asarray(value, np.int64))) if _is_number(value) else value


def is_missing_value(value: object) -> bool:
    """Whether a published value is none; rows of varying length never are."""
    return not isinstance(value, list | tuple | np.ndarray) and is_missing(value)


def _answers(own: Schema, other: Schema) -> dict[str, Renumbering]:
    """The numbers of categories in answers, from the other's to ours."""
    ours, theirs = ({spec.name: spec for spec in schema.outputs} for schema in (own, other))
    first = own.outputs[0]
    if first.name not in theirs:
        raise IncomparableVersions(
            f"it has no output {first.name!r}, but {', '.join(map(repr, theirs))}"
        )
    prediction = theirs[first.name]
    if first.shape != prediction.shape and not labels_of(own, first):
        raise IncomparableVersions(
            f"the output {first.name!r} has {list(first.shape)} numbers in one of them, and "
            f"{list(prediction.shape)} in the other"
        )
    return {
        name: numbers
        for name in ours.keys() & theirs.keys()
        # Back: from the other version's numbers to ours.
        if (numbers := renumbering(theirs[name], ours[name], exact=True)) is not None
    }


def _classes(own: Schema, other: Schema) -> dict[str, NDArray[np.int64]]:
    """The place of each of our classes among the others', by output; without those that agree."""
    theirs = {spec.name: spec for spec in other.outputs}
    places = {}
    for spec in own.outputs:
        if spec.name not in theirs:
            continue
        labels, labels_there = labels_of(own, spec), labels_of(other, theirs[spec.name])
        if labels != labels_there:
            places[spec.name] = _places(spec, labels, theirs[spec.name], labels_there)
    return places


def _places(
    ours: TensorSpec, labels: Sequence[str], theirs: TensorSpec, others: Sequence[str]
) -> NDArray[np.int64]:
    is_numbered = (ours.shape, theirs.shape) == ((len(labels),), (len(others),))
    if sorted(labels) == sorted(others):
        if is_numbered and len(set(labels)) == len(labels):
            return np.array([others.index(label) for label in labels], np.int64)
        raise IncomparableVersions(
            f"their classes are in another order, and {ours.name!r} has no number for each"
        )
    apart = names_apart(labels, others)
    # Other numbers than probabilities have no value that says "not this one".
    is_share = all((spec.minimum, spec.maximum) == (0, 1) for spec in (ours, theirs))
    if len(set(labels) & set(others)) < 2 or not is_numbered or not is_share:
        raise IncomparableVersions(f"their classes differ: {apart}")
    return np.array([others.index(label) if label in others else -1 for label in labels], np.int64)


def _in_order(answers: Array, places: NDArray[np.int64]) -> Array:
    ordered = answers[:, np.maximum(places, 0)]
    if (places >= 0).all() and answers.shape[1] == len(places):
        return ordered
    ordered = np.where(places >= 0, ordered, 0).astype(answers.dtype)
    if len(set(places.tolist()) - {-1}) < answers.shape[1]:
        total = ordered.sum(axis=1, keepdims=True)
        even = ((places >= 0) / (places >= 0).sum()).astype(answers.dtype)
        ordered = np.where(total > 0, ordered / np.where(total > 0, total, 1), even)
    return ordered.astype(answers.dtype)
