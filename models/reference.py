"""`reference.json`: what a version's traffic and labels are compared with while it serves.

Of the training rows it has a summary of each input, of the holdout the version's answers, their
confidence and calibration, and how often it was wrong, whole and by slice. It is made once, at
publishing, and is part of the bundle, so it is signed with it.
"""

import json
import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Examples, Outputs
from overnight.models.metrics.evaluation import Floats, Mask
from overnight.models.watched_features import (
    MISSING,
    FeatureKind,
    WatchedFeature,
    answer_features,
    input_features,
)
from overnight.store.errors import CorruptVersion
from overnight.store.objects.records import validation_summary
from overnight.store.registry.manifest import Manifest
from overnight.store.registry.registry import ModelRegistry
from overnight.store.values import Value

Array = NDArray[Any]
FILE = "reference.json"
FORMAT = 1
LARGEST_BYTES = 200_000
NO_REFERENCE = (
    "it has no reference.json: an older release published it, or none could be made of it, which "
    "its report says; the next version has one if `overnight test` passes "
    "(`overnight retrain MODEL --force` makes one of the same rows)"
)
# Ten bins of equal share, and the two ends by themselves: a wrong unit is far out.
_SHARES = (0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99)
_CATEGORIES = (100, 30, 10)
_LONGEST_NAME = 120
_CALIBRATION_BINS = 15
# All bounds of the loss, whole and by slice, hold together with this probability.
_CONFIDENCE = 0.95
# Enough for shares; all rows of models with days, which are compared with one another.
_SAMPLED_ROWS = 20_000
# Days with fewer rows say little about how far days are apart.
_DAY_ROWS = 100


class FeatureSummary(Value):
    """One feature of the n reference rows, as counts.

    Of numbers, `counts` are those below the first of the `borders`, between them, and from the last
    on. Of names, they are those of the `categories`; `other` counts all other names. `missing`
    counts rows without a value. `usual` is the largest Hellinger distance of a single day from all
    rows, for models whose rows have days: so far apart days are by themselves.
    """

    kind: FeatureKind
    name: str
    n: int
    counts: tuple[int, ...]
    borders: tuple[float, ...] = ()
    categories: tuple[str, ...] = ()
    other: int = 0
    missing: int = 0
    mean: float | None = None
    usual: float = 0.0

    @property
    def is_categorical(self) -> bool:
        """Whether the values are names."""
        return bool(self.categories)

    def counted(self, values: Array) -> NDArray[np.int64]:
        """The counts of n values of the feature: its bins or categories, others, and missing."""
        if self.is_categorical:
            return _counted_names(values, self.categories)
        return _counted_numbers(values, self.borders)

    @property
    def all_counts(self) -> NDArray[np.int64]:
        """The reference's own counts, in the order of `counted`."""
        return np.array([*self.counts, self.other, self.missing], np.int64)


class LossSummary(Value):
    """How often answers were wrong on the holdout: all rows, or a slice.

    `upper` is the bound that the true share is below. Where rows of one unit, such as a day, are
    wrong together, `n` counts units.
    """

    slice: str = ""
    n: int
    loss: float
    upper: float


class CalibrationBin(Value):
    """The holdout rows with a confidence in one bin: its mean there, and how many are right."""

    n: int
    confidence: float
    right: int


class Reference(Value):
    """What a version is compared with while it serves.

    `losses` are of answers that do not count as right by the model's definition. `unit` says what
    an observation of them is: a label, or a day. `memberships` is the most slices of one row.
    `left_out` names features that a file of this size had no place for.
    """

    format: Literal[1] = 1
    version: str
    rows: int
    holdout_rows: int
    features: tuple[FeatureSummary, ...] = ()
    losses: tuple[LossSummary, ...] = ()
    unit: Literal["label", "day"] = "label"
    memberships: int = 1
    calibration: tuple[CalibrationBin, ...] = ()
    left_out: tuple[str, ...] = ()

    @property
    def bounds(self) -> dict[str, float]:
        """What the mean loss may be, by slice; the whole is ""."""
        return {each.slice: each.upper for each in self.losses}

    def feature(self, kind: str, name: str) -> FeatureSummary | None:
        """The summary of a feature, or None."""
        return next((f for f in self.features if (f.kind, f.name) == (kind, name)), None)


def reference_of(
    definition: ModelDefinition,
    version: str,
    *,
    training: Examples,
    holdout: Examples,
    outputs: Outputs,
) -> Reference:
    """The reference of a version.

    Args:
        training: the rows that it learned, with published inputs.
        holdout: rows that it did not learn.
        outputs: its answers to the holdout, as the exported predictor gives them.
    """
    rows = training.n
    days, judged_days = (days_of(definition, part.inputs) for part in (training, holdout))
    if days is None and rows > _SAMPLED_ROWS:
        # A fixed seed: a run that is tried again must publish the same bytes.
        chosen = np.random.default_rng(0).choice(rows, _SAMPLED_ROWS, replace=False)
        training = training.take(np.sort(chosen))
    summaries = []
    for most in _CATEGORIES:
        summaries = [
            *_summaries(input_features(definition, training.inputs), days, most),
            *_summaries(answer_features(definition, outputs), judged_days, most),
        ]
        if len(_encoded(summaries)) <= LARGEST_BYTES * 0.8:
            break
    # Answers first: they are what matters most.
    ordered = sorted(summaries, key=lambda summary: summary.kind == "inputs")
    kept = ordered[: _fitting(ordered)]
    losses = _losses(definition, holdout, outputs)
    masks = list(holdout.slices.values())
    return Reference(
        version=version,
        rows=rows,
        holdout_rows=holdout.n,
        features=tuple(kept),
        losses=losses,
        unit="label" if judged_days is None else "day",
        memberships=max(1, int(np.sum(masks, axis=0).max())) if masks and holdout.n else 1,
        calibration=_calibration(definition, holdout, outputs),
        left_out=tuple(f.name for f in ordered[len(kept) :]),
    )


def reference_or_why(
    definition: ModelDefinition,
    version: str,
    *,
    training: Examples,
    holdout: Examples,
    answers: Callable[[], Outputs],
) -> tuple[Reference | None, str]:
    """As `reference_of`, or None and why there is none.

    The model's own code has a part in it, and a version is worth more than what watches it.
    """
    try:
        made = reference_of(
            definition, version, training=training, holdout=holdout, outputs=answers()
        )
    except Exception as error:  # noqa: BLE001 - a model's own code may raise anything
        return None, (
            f"{version} is not watched, because no reference can be made of it "
            f"({type(error).__name__}: {error}): `overnight test {definition.name}` finds what is "
            "wrong before a training"
        )
    return made, ""


def reference_in(registry: ModelRegistry, manifest: Manifest) -> Reference | None:
    """The reference of a published version; None where it has none, as `NO_REFERENCE` says.

    Raises:
        CorruptVersion: the file differs from the manifest, or is no reference.
    """
    if FILE not in manifest.files:
        return None
    return parse(registry.read_file(manifest, FILE), f"{manifest.model} {manifest.version} {FILE}")


def parse(body: bytes, where: str = FILE) -> Reference:
    """Read a reference; fields of newer releases are ignored.

    Raises:
        CorruptVersion: it is none, or has a format that this release does not know.
    """
    remedy = "publish the version anew: `overnight retrain MODEL --force`"
    try:
        document = json.loads(body)
    except ValueError as error:
        raise CorruptVersion(
            where, expected="JSON", found=f"none ({error})", remedy=remedy
        ) from None
    written = document.get("format") if isinstance(document, dict) else None
    if isinstance(written, int) and written != FORMAT:
        raise CorruptVersion(
            where,
            expected=f"format {FORMAT}",
            found=f"format {written}",
            remedy="a newer release wrote it: update overnight on this machine",
        )
    try:
        return Reference.model_validate(document)
    except ValidationError as error:
        raise CorruptVersion(
            where, expected="a reference", found=": ".join(validation_summary(error)), remedy=remedy
        ) from None


def days_of(definition: ModelDefinition, inputs: Mapping[str, Array]) -> NDArray[np.int64] | None:
    """The day of each of n rows, where the model forecasts days; else None."""
    forecast = definition.tensors.forecast
    if forecast is None or forecast.day not in inputs:
        return None
    days = np.asarray(inputs[forecast.day])
    return days.astype(np.int64) if days.dtype.kind in "iuf" else None


def upper_bound(losses: Mask | Floats, confidence: float) -> float:
    """The bound that the mean of n losses between 0 and 1 is below, with this confidence.

    Of shares that of Clopper and Pearson (1934), which is exact; of other means that of Student,
    and at least what one loss more would make of it. 1 without losses.
    """
    from scipy import stats

    values = np.asarray(losses, np.float64)
    n = len(values)
    if n == 0:
        return 1.0
    if np.isin(values, (0, 1)).all():
        wrong = int(values.sum())
        return 1.0 if wrong == n else float(stats.beta.ppf(confidence, wrong + 1, n - wrong))
    if n == 1:
        return 1.0
    half = stats.t.ppf(confidence, n - 1) * values.std(ddof=1) / math.sqrt(n)
    return float(min(1.0, max(values.mean() + half, (values.sum() + 1) / (n + 1))))


def _summaries(
    features: Iterable[WatchedFeature], days: NDArray[np.int64] | None, most: int
) -> list[FeatureSummary]:
    return [_with_usual(summary_of(f, most=most), f, days) for f in features]


def summary_of(feature: WatchedFeature, *, most: int = _CATEGORIES[0]) -> FeatureSummary:
    """The counts of a feature, in bins of nearly equal share or by the most frequent names."""
    values, n = feature.values, len(feature.values)
    if feature.is_categorical:
        categories = _frequent(values, most)
        counts = _counted_names(values, categories)
        return FeatureSummary(
            kind=feature.kind,
            name=feature.name,
            n=n,
            categories=categories,
            counts=tuple(counts[:-2].tolist()),
            other=int(counts[-2]),
            missing=int(counts[-1]),
        )
    known = values[np.isfinite(values)]
    borders = feature.borders or _quantiles(known)
    counts = _counted_numbers(values, borders)
    return FeatureSummary(
        kind=feature.kind,
        name=feature.name,
        n=n,
        borders=borders,
        counts=tuple(counts[:-2].tolist()),
        missing=int(counts[-1]),
        mean=float(known.mean()) if len(known) else None,
    )


def _with_usual(
    summary: FeatureSummary, feature: WatchedFeature, days: NDArray[np.int64] | None
) -> FeatureSummary:
    """With the largest distance of a day from all rows, its own chance taken off."""
    if days is None:
        return summary
    whole = summary.all_counts / max(summary.n, 1)
    furthest = 0.0
    for day in np.unique(days):
        rows = days == day
        if (n := int(rows.sum())) >= _DAY_ROWS:
            here = summary.counted(feature.values[rows]) / n
            squared = ((np.sqrt(here) - np.sqrt(whole)) ** 2).sum() / 2
            cells = int((whole > 0).sum())
            furthest = max(furthest, squared - (cells - 1) / (8 * n))
    return summary.model_copy(update={"usual": math.sqrt(furthest)})


def _quantiles(known: Array) -> tuple[float, ...]:
    if not len(known):
        return ()
    return tuple(np.unique(np.quantile(known, _SHARES)).tolist())


def _frequent(values: Array, most: int) -> tuple[str, ...]:
    names, counts = np.unique(values.astype(str), return_counts=True)
    order = np.lexsort((names, -counts))
    frequent = (str(names[place]) for place in order)
    chosen = [name for name in frequent if name != MISSING and len(name) <= _LONGEST_NAME][:most]
    # A feature of names has one at least, or it would be read as numbers.
    return tuple(chosen) or ("(none)",)


def _counted_names(values: Array, categories: tuple[str, ...]) -> NDArray[np.int64]:
    places = {name: place for place, name in enumerate(categories)} | {MISSING: len(categories) + 1}
    names, counts = np.unique(values.astype(str), return_counts=True)
    counted = np.zeros(len(categories) + 2, np.int64)
    for name, count in zip(names.tolist(), counts.tolist(), strict=True):
        counted[places.get(name, len(categories))] += count
    return counted


def _counted_numbers(values: Array, borders: tuple[float, ...]) -> NDArray[np.int64]:
    numbers = np.asarray(values, np.float64)
    known = np.isfinite(numbers)
    places = np.searchsorted(np.array(borders), numbers[known], side="right")
    counts = np.bincount(places, minlength=len(borders) + 1)
    return np.array([*counts, 0, int((~known).sum())], np.int64)


def _losses(
    definition: ModelDefinition, holdout: Examples, outputs: Outputs
) -> tuple[LossSummary, ...]:
    """The share of answers that are wrong, and its bound; of a forecast the mean over its days."""
    wrong = ~definition.correct(holdout, outputs)
    days = days_of(definition, holdout.inputs)
    masks = {"": np.ones(holdout.n, np.bool_), **holdout.slices}
    # By Bonferroni, so that all hold together.
    confidence = 1 - (1 - _CONFIDENCE) / len(masks)
    summaries = []
    for name, mask in masks.items():
        if not mask.any():
            continue
        losses = wrong[mask].astype(np.float64)
        if days is not None:
            losses = _daily(losses, days[mask])
        summaries.append(
            LossSummary(
                slice=name,
                n=len(losses),
                loss=float(losses.mean()),
                upper=upper_bound(losses, confidence),
            )
        )
    return tuple(summaries)


def _daily(losses: Floats, days: NDArray[np.int64]) -> Floats:
    places = np.unique(days, return_inverse=True)[1]
    means: Floats = np.bincount(places, losses) / np.bincount(places)
    return means


def _calibration(
    definition: ModelDefinition, holdout: Examples, outputs: Outputs
) -> tuple[CalibrationBin, ...]:
    """Confidence and right answers of the first output in bins of equal width; () without classes.

    Right is what the definition counts as right, so that the estimate is of the same share.
    """
    first = definition.tensors.outputs[0].name
    if not definition.tensors.classes(first) or first not in outputs or not holdout.n:
        return ()
    confidence = np.asarray(outputs[first], np.float64).max(axis=-1)
    right = definition.correct(holdout, outputs)
    places = np.minimum((confidence * _CALIBRATION_BINS).astype(int), _CALIBRATION_BINS - 1)
    counts, sums, rights = (
        np.bincount(places, weights, _CALIBRATION_BINS)
        for weights in (None, confidence, right.astype(float))
    )
    return tuple(
        CalibrationBin(n=int(n), confidence=float(total / n) if n else 0.0, right=int(hits))
        for n, total, hits in zip(counts, sums, rights, strict=True)
    )


def _encoded(summaries: list[FeatureSummary]) -> bytes:
    return Reference(version="", rows=0, holdout_rows=0, features=tuple(summaries)).encoded()


def _fitting(ordered: list[FeatureSummary]) -> int:
    """How many of the summaries the size allows."""
    if len(_encoded(ordered)) <= LARGEST_BYTES * 0.8:
        return len(ordered)
    # Indented as a part of the whole, a summary is larger than alone.
    sizes = np.cumsum([len(summary.encoded()) * 1.5 for summary in ordered])
    return int(np.searchsorted(sizes, LARGEST_BYTES * 0.8))
