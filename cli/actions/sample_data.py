"""Rows that a new model can walk with at once: made up, from a seed, as CSV."""

import csv
import io
from collections.abc import Iterable

import numpy as np

SIDE = 8
MOST = 255


def pictures(n: int, *, seed: int) -> str:
    """Strokes on 8 × 8 pixels: lying 0, standing 1, rising 2, falling 3, never two alike."""
    drawn = np.random.default_rng(seed)
    labels = drawn.integers(0, 4, n)
    ends = np.arange(SIDE)
    images = drawn.integers(0, 60, (n, SIDE, SIDE))
    for image, label in zip(images, labels, strict=True):
        place = drawn.integers(1, SIDE - 1)
        rows = {0: np.full(SIDE, place), 1: ends, 2: ends[::-1], 3: ends}[int(label)]
        columns = np.full(SIDE, place) if label == 1 else ends
        image[rows, columns] = drawn.integers(150, MOST + 1, SIDE)
    header = ["label", *(f"pixel{place:02d}" for place in range(SIDE * SIDE))]
    return _csv(header, np.column_stack([labels, images.reshape(n, -1)]).tolist())


def _csv(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    written = csv.writer(text, lineterminator="\n")
    written.writerow(header)
    written.writerows(rows)
    return text.getvalue()


def sales(n: int, *, seed: int) -> str:
    """Four stores that sell more towards the end of a week; a model may not know all by name."""
    drawn = np.random.default_rng(seed)
    stores = (("north", 40.0), ("south", 90.0), ("east", 15.0), ("west", 25.0))
    rows = []
    for row in range(n):
        # Each seed has days of its own, so that no row of one file is in another.
        day, (store, usual) = seed * 10_000 + row // len(stores), stores[row % len(stores)]
        weekday = day % 7
        means = [usual * (0.8 + 0.1 * ((weekday + back) % 7)) for back in (0, 6, 0)]
        units, yesterday, week_ago = (int(drawn.poisson(mean)) for mean in means)
        rows.append([day, store, weekday, yesterday, week_ago, units])
    return _csv(["day", "store", "weekday", "yesterday", "week_ago", "units"], rows)


MADE_UP = {"digits": pictures, "sales": sales}
