"""Drawings that are no digits, made from digits, strokes, shapes and noise: the score learns them.

They are not letters or clothes: what the score is worth on those is measured, not trained.
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from overnight.models.digits.rows import SIDE

Pictures = NDArray[np.uint8]
Random = np.random.Generator
_MIDDLE = SIDE // 2
# The inner square in which MNIST's digits are.
_LOW, _HIGH = 4, 24
# Strokes come closest to digits, and letters are made of them: half of all.
_SHARES = {"strokes": 8, "halves": 2, "shuffled": 2, "turned": 1, "overlaid": 2, "noise": 1}


def unlike_digits(digits: Pictures, n: int, random: Random) -> Pictures:
    """Draw about n pictures, uint8 [n, 28, 28], bright on dark, from digits [m, 28, 28] too."""
    makers: dict[str, Callable[[Pictures, int, Random], Pictures]] = {
        "strokes": lambda _, count, random: strokes(count, random),
        "halves": _halves,
        "shuffled": _shuffled,
        "turned": _turned,
        "overlaid": _overlaid,
        "noise": lambda _, count, random: _noise(count, random),
    }
    parts = [
        makers[kind](digits, max(1, n * share // sum(_SHARES.values())), random)
        for kind, share in _SHARES.items()
    ]
    # Nothing at all, too.
    parts.append(np.zeros((max(1, n // 100), SIDE, SIDE), np.uint8))
    return np.concatenate(parts)


def strokes(n: int, random: Random) -> Pictures:
    """One to three strokes of a pen through points at random, straight or curved."""
    return np.stack([_strokes(random) for _ in range(n)])


def _strokes(random: Random) -> Pictures:
    ink, width, earlier = np.zeros((SIDE, SIDE)), random.uniform(1.6, 3.8), None
    size = np.array([random.uniform(14, 20), 20.0])
    for _ in range(random.integers(1, 4)):
        # On a coarse grid, so that parallel, level and joined lines are frequent.
        count = random.integers(2, 6)
        points = random.integers(0, 4, (count, 2)) / 3 + random.normal(0, 0.07, (count, 2))
        if earlier is not None and random.random() < 0.6:
            points[0] = earlier[random.integers(len(earlier))]
        earlier = points
        curved = _curve(points) if count > 2 and random.random() < 0.5 else points
        ink = np.maximum(ink, _inked(_LOW + curved * size, width))
    return (255 * ink).astype(np.uint8)


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """The line with its corners cut twice (Chaikin 1974)."""
    for _ in range(2):
        near, far = points[:-1], points[1:]
        cut = np.stack([0.75 * near + 0.25 * far, 0.25 * near + 0.75 * far], axis=1)
        points = np.concatenate([points[:1], cut.reshape(-1, 2), points[-1:]])
    return points


def _inked(points: NDArray[np.float64], width: float) -> NDArray[np.float64]:
    """How much ink each pixel has, between 0 and 1, of a line through points (x, y) in pixels."""
    y, x = np.mgrid[:SIDE, :SIDE] + 0.5
    pixels = np.stack([x, y], axis=-1)[:, :, None]
    start, along = points[:-1], np.diff(points, axis=0)
    length = np.maximum((along**2).sum(axis=1), 1e-9)
    share = np.clip(((pixels - start) * along).sum(axis=-1) / length, 0, 1)
    distance = np.linalg.norm(pixels - start - share[..., None] * along, axis=-1).min(axis=-1)
    inked: NDArray[np.float64] = np.clip(width / 2 - distance + 0.5, 0, 1)
    return inked


def _chosen(digits: Pictures, n: int, random: Random) -> Pictures:
    chosen: Pictures = digits[random.integers(len(digits), size=n)]
    return chosen


def _halves(digits: Pictures, n: int, random: Random) -> Pictures:
    """The upper half of one and the lower half of another, mirrored one; or the left and right."""
    first, second = _chosen(digits, n, random), _chosen(digits, n, random)[:, :, ::-1]
    line = random.integers(10, 19, n)[:, None, None]
    y, x = np.mgrid[:SIDE, :SIDE]
    place = np.where(random.random(n)[:, None, None] < 0.5, y, x)
    return np.where(place < line, first, second)


def _shuffled(digits: Pictures, n: int, random: Random) -> Pictures:
    """The quarters of one in another order, some of them turned."""
    pictures = _chosen(digits, n, random).copy()
    for picture in pictures:
        inner = picture[_LOW:_HIGH, _LOW:_HIGH]
        half = len(inner) // 2
        quarters = [inner[i : i + half, j : j + half] for i in (0, half) for j in (0, half)]
        # A cyclic shift after the shuffle of three: never the order that it was.
        order = np.roll(np.concatenate([[0], 1 + random.permutation(3)]), random.integers(1, 4))
        turned = [
            np.rot90(quarters[i], int(random.integers(4) * (random.random() < 0.3))) for i in order
        ]
        picture[_LOW:_HIGH, _LOW:_HIGH] = np.block([turned[:2], turned[2:]])
    return pictures


def _turned(digits: Pictures, n: int, random: Random) -> Pictures:
    """Digits that lie on their side, or mirrored; some of these are digits again."""
    pictures = _chosen(digits, n, random)
    ways = (
        pictures[:, :, ::-1],
        pictures[:, ::-1],
        np.rot90(pictures, 1, axes=(1, 2)),
        np.rot90(pictures, 3, axes=(1, 2)),
    )
    return np.stack(ways)[random.integers(len(ways), size=n), np.arange(n)]


def _overlaid(digits: Pictures, n: int, random: Random) -> Pictures:
    """Two of them over one another, or small beside one another."""
    first, second = _chosen(digits, n, random), _chosen(digits, n, random)
    crossed = np.maximum(first, np.rot90(second, 1, axes=(1, 2)))
    left, right = (
        each.reshape(n, _MIDDLE, 2, _MIDDLE, 2).mean(axis=(2, 4)).astype(np.uint8)
        for each in (first, second)
    )
    pairs = np.zeros((n, SIDE, SIDE), np.uint8)
    pairs[:, 7:21, 1:15] = left
    pairs[:, 7:21, 12:26] = np.maximum(pairs[:, 7:21, 12:26], right)
    return np.where(random.random(n)[:, None, None] < 0.5, crossed, pairs)


def _noise(n: int, random: Random) -> Pictures:
    """Squares and ellipses of any shade, and noise of any grain, over all of it or cut out."""
    pictures = np.empty((n, SIDE, SIDE), np.uint8)
    y, x = np.mgrid[:SIDE, :SIDE]
    for picture in pictures:
        grain = int(random.integers(1, 8))
        coarse = random.uniform(0, 255, (SIDE // grain + 1, SIDE // grain + 1))
        shades = np.kron(coarse, np.ones((grain, grain)))[:SIDE, :SIDE]
        if random.random() < 0.5:
            shades = np.where(shades > 255 * random.uniform(0.3, 0.95), 255.0, 0.0)
        if random.random() < 0.6:
            (top, left), (tall, wide) = random.uniform(6, 22, 2), random.uniform(1, 13, 2)
            power = random.choice([2.0, 8.0])
            inside = np.abs((y - top) / tall) ** power + np.abs((x - left) / wide) ** power <= 1
            shades = np.where(inside, shades if random.random() < 0.4 else 255.0, 0.0)
        picture[:] = shades
    return pictures
