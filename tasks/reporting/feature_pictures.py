"""Pictures of features: the reference's shares against those of a day."""

from collections.abc import Mapping, Sequence
from itertools import pairwise
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from overnight.models.definition import ModelDefinition
from overnight.models.examples import Array
from overnight.models.plots.plots import legend, png
from overnight.models.reference import FeatureSummary, Reference
from overnight.models.watched_features import answer_features, input_features
from overnight.store.registry.monitoring import LiveDistance
from overnight.tasks.reporting.markdown import picture

_INK, _MINE, _QUIET = "#1b2a41", "#d1495b", "#8d99ae"
# More bars than that are not read; those with the smallest shares are left out.
_BARS = 14
_LONGEST_NAME = 24


def feature_pictures(
    definition: ModelDefinition,
    reference: Reference,
    inputs: Mapping[str, Array],
    outputs: Mapping[str, Array],
    distances: Sequence[LiveDistance],
) -> tuple[str, ...]:
    """Markdown of a picture for each of some distances, with a data URI.

    Args:
        inputs: of the rows of the day, [n, …]; empty where they were not recorded.
        outputs: of the same rows, or empty.
    """
    features = (*input_features(definition, inputs), *answer_features(definition, outputs))
    live: dict[tuple[str, str], Array] = {(each.kind, each.name): each.values for each in features}
    pictures = []
    for distance in distances:
        summary = reference.feature(distance.kind, distance.feature)
        values = live.get((distance.kind, distance.feature))
        if summary is not None and values is not None and len(values):
            title = f"{distance.kind} {distance.feature}: distance {distance.distance:.2f}"
            pictures.append(picture(title, drawn(summary, summary.counted(values))))
    return tuple(pictures)


def drawn(summary: FeatureSummary, counts: Array) -> bytes:
    """Bars of the reference beside those of a day, both as shares, as PNG."""
    names, shares = _bars(summary, np.asarray(counts, float))
    places = np.arange(len(names))
    figure = Figure(figsize=(6.4, 2.6), layout="constrained")
    axes: Any = figure.subplots()
    axes.bar(places - 0.2, shares[0], 0.4, color=_QUIET, label="reference")
    axes.bar(places + 0.2, shares[1], 0.4, color=_MINE, label="the day")
    axes.set_xticks(places, names, rotation=45, ha="right", fontsize=7)
    axes.set_ylabel("share", color=_INK)
    axes.spines[["top", "right"]].set_visible(False)
    legend(axes)
    return png(figure)


def _bars(summary: FeatureSummary, counts: Array) -> tuple[list[str], Array]:
    """Names of bins or categories, and both shares [2, bars], without empty ones at the end."""
    both = np.stack([summary.all_counts.astype(float), counts])
    shares = both / np.maximum(both.sum(axis=1, keepdims=True), 1)
    if summary.is_categorical:
        names = [*summary.categories, "others", "missing"]
    else:
        ends = [f"{border:.3g}" for border in summary.borders]
        middle = [f"{low} to {high}" for low, high in pairwise(ends)]
        bins = [f"below {ends[0]}", *middle, f"from {ends[-1]}"] if ends else ["all"]
        names = [*bins, "others", "missing"]
    kept = [place for place in range(len(names)) if shares[:, place].any()]
    if len(kept) > _BARS:
        order = sorted(kept, key=lambda place: -shares[:, place].max())
        kept = sorted(order[:_BARS])
    return [names[place][:_LONGEST_NAME] for place in kept], shares[:, kept]
