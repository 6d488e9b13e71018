"""Generated rows of the small models, as CSV."""

import csv
import io
from collections.abc import Iterable

import numpy as np

_SIDE = 8
_WHITE = 255


def images(n: int, *, seed: int) -> str:
    """Strokes on 8 × 8 pixels: horizontal 0, vertical 1, rising 2, falling 3, no two alike."""
    random = np.random.default_rng(seed)
    labels = random.integers(0, 4, n)
    ends = np.arange(_SIDE)
    pixels = random.integers(0, 60, (n, _SIDE, _SIDE))
    for image, label in zip(pixels, labels, strict=True):
        place = random.integers(1, _SIDE - 1)
        rows = {0: np.full(_SIDE, place), 1: ends, 2: ends[::-1], 3: ends}[int(label)]
        columns = np.full(_SIDE, place) if label == 1 else ends
        image[rows, columns] = random.integers(150, _WHITE + 1, _SIDE)
    header = ["label", *(f"pixel{place:02d}" for place in range(_SIDE * _SIDE))]
    return _csv(header, np.column_stack([labels, pixels.reshape(n, -1)]).tolist())


def _csv(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def sales(n: int, *, seed: int) -> str:
    """Daily sales of four stores, which sell more towards the end of a week."""
    random = np.random.default_rng(seed)
    stores = (("north", 40.0), ("south", 90.0), ("east", 15.0), ("west", 25.0))
    rows = []
    for row in range(n):
        # Each seed has days of its own, so that no row of one file is in another.
        day, (store, usual) = seed * 10_000 + row // len(stores), stores[row % len(stores)]
        weekday = day % 7
        means = [usual * (0.8 + 0.1 * ((weekday + back) % 7)) for back in (0, 6, 0)]
        units, yesterday, week_ago = (int(random.poisson(mean)) for mean in means)
        rows.append([day, store, weekday, yesterday, week_ago, units])
    return _csv(["day", "store", "weekday", "yesterday", "week_ago", "units"], rows)


GENERATORS = {"strokes": images, "sales": sales}


def files(model: str) -> dict[str, bytes]:
    """A holdout and a first arrival, by name."""
    generate = GENERATORS[model]
    return {
        "holdout.csv": generate(120, seed=1).encode(),
        "night-0001.csv": generate(240, seed=2).encode(),
    }
