"""Drawings that are no digits, 28 × 28 bytes, bright on dark: letters, clothes, noise and others.

Everything is drawn from a seed, so that shares measured on them can be repeated anywhere.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
from matplotlib import get_data_path
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter, ImageFont

SIDE = 28
# Drawn larger, and shrunk: edges are as soft as those of a scan.
_SCALE = 8
_LARGE = SIDE * _SCALE
Pictures = NDArray[np.uint8]
Random = np.random.Generator

# What a reader takes for a digit as well, by its shape alone: 0, 1, 2, 5, 6, 8 and 9.
LIKE_DIGITS = "BDGIJOQSZbgijloqsyz"
LETTERS = "".join(
    letter
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
    if letter not in LIKE_DIGITS
)
_FONTS = (
    "DejaVuSans.ttf",
    "DejaVuSans-Bold.ttf",
    "DejaVuSans-Oblique.ttf",
    "DejaVuSerif.ttf",
    "DejaVuSerif-Italic.ttf",
    "DejaVuSansMono.ttf",
    "STIXGeneral.ttf",
    "STIXGeneralItalic.ttf",
    "cmr10.ttf",
    "cmss10.ttf",
)

# Strokes in the unit square, y downwards; each is a list of points that a pen passes.
Strokes = Sequence[Sequence[tuple[float, float]]]
_LETTERS: Mapping[str, Strokes] = {
    "A": (((0.1, 1), (0.5, 0), (0.9, 1)), ((0.25, 0.6), (0.75, 0.6))),
    "C": (((0.9, 0.15), (0.5, 0), (0.1, 0.3), (0.1, 0.7), (0.5, 1), (0.9, 0.85)),),
    "E": (((0.85, 0), (0.15, 0), (0.15, 1), (0.85, 1)), ((0.15, 0.5), (0.7, 0.5))),
    "F": (((0.85, 0), (0.15, 0), (0.15, 1)), ((0.15, 0.5), (0.7, 0.5))),
    "H": (((0.1, 0), (0.1, 1)), ((0.9, 0), (0.9, 1)), ((0.1, 0.5), (0.9, 0.5))),
    "K": (((0.15, 0), (0.15, 1)), ((0.85, 0), (0.15, 0.55), (0.85, 1))),
    "L": (((0.2, 0), (0.2, 1), (0.85, 1)),),
    "M": (((0.05, 1), (0.15, 0), (0.5, 0.7), (0.85, 0), (0.95, 1)),),
    "N": (((0.1, 1), (0.1, 0), (0.9, 1), (0.9, 0)),),
    "P": (((0.15, 1), (0.15, 0), (0.7, 0), (0.9, 0.25), (0.7, 0.5), (0.15, 0.5)),),
    "R": (
        ((0.15, 1), (0.15, 0), (0.7, 0), (0.9, 0.25), (0.7, 0.5), (0.15, 0.5)),
        ((0.45, 0.5), (0.9, 1)),
    ),
    "T": (((0.05, 0), (0.95, 0)), ((0.5, 0), (0.5, 1))),
    "U": (((0.1, 0), (0.1, 0.75), (0.5, 1), (0.9, 0.75), (0.9, 0)),),
    "V": (((0.1, 0), (0.5, 1), (0.9, 0)),),
    "W": (((0.05, 0), (0.25, 1), (0.5, 0.35), (0.75, 1), (0.95, 0)),),
    "X": (((0.1, 0), (0.9, 1)), ((0.9, 0), (0.1, 1))),
    "Y": (((0.1, 0), (0.5, 0.5), (0.9, 0)), ((0.5, 0.5), (0.5, 1))),
    "h": (((0.15, 0), (0.15, 1)), ((0.15, 0.6), (0.5, 0.4), (0.8, 0.6), (0.8, 1))),
    "k": (((0.2, 0), (0.2, 1)), ((0.75, 0.4), (0.2, 0.7), (0.8, 1))),
    "m": (
        ((0.05, 0.2), (0.05, 1)),
        ((0.05, 0.45), (0.28, 0.2), (0.5, 0.45), (0.5, 1)),
        ((0.5, 0.45), (0.75, 0.2), (0.95, 0.45), (0.95, 1)),
    ),
    "n": (((0.15, 0.2), (0.15, 1)), ((0.15, 0.5), (0.5, 0.2), (0.85, 0.5), (0.85, 1))),
    "w": (((0.05, 0.2), (0.25, 1), (0.5, 0.5), (0.75, 1), (0.95, 0.2)),),
    "x": (((0.1, 0.1), (0.9, 0.9)), ((0.9, 0.1), (0.1, 0.9))),
}


# A bowl with a stem, as a 9 is that ends straight: nobody tells them apart by their shape.
_LIKE_DIGITS: Mapping[str, Strokes] = {
    "a": (
        ((0.85, 0.2), (0.5, 0), (0.15, 0.4), (0.3, 0.9), (0.6, 0.9), (0.85, 0.5)),
        ((0.85, 0), (0.85, 1)),
    ),
}
# Of the same pen: a score that finds letters by their ink alone flags these too.
_DIGITS: Mapping[str, Strokes] = {
    "0": (
        (
            (0.5, 0), (0.15, 0.3), (0.15, 0.7), (0.5, 1), (0.85, 0.7), (0.85, 0.3), (0.5, 0),
        ),
    ),
    "1": (((0.5, 0), (0.5, 1)),),
    "2": (((0.15, 0.2), (0.5, 0), (0.85, 0.25), (0.5, 0.6), (0.1, 1), (0.9, 1)),),
    "3": (
        (
            (0.15, 0.1), (0.6, 0), (0.85, 0.25), (0.45, 0.48), (0.85, 0.72), (0.6, 1), (0.1, 0.9),
        ),
    ),
    "4": (((0.6, 0), (0.1, 0.65), (0.9, 0.65)), ((0.7, 0.3), (0.7, 1))),
    "5": (
        (
            (0.8, 0), (0.2, 0), (0.2, 0.45), (0.7, 0.42), (0.85, 0.7), (0.6, 1), (0.1, 0.92),
        ),
    ),
    "6": (
        (
            (0.7, 0), (0.25, 0.35), (0.15, 0.75), (0.45, 1), (0.8, 0.8), (0.6, 0.55), (0.2, 0.7),
        ),
    ),
    "7": (((0.1, 0), (0.9, 0), (0.4, 1)),),
    "8": (
        (
            (0.5, 0.48), (0.15, 0.25), (0.5, 0), (0.85, 0.25), (0.15, 0.75), (0.5, 1),
            (0.85, 0.75), (0.5, 0.48),
        ),
    ),
    "9": (((0.8, 0.25), (0.5, 0), (0.15, 0.3), (0.45, 0.52), (0.8, 0.25), (0.7, 1)),),
}  # fmt: skip


def stroke_letters(n: int, random: Random, strokes: Mapping[str, Strokes] = _LETTERS) -> Pictures:
    """Letters as a hand draws them: strokes with jitter, slant and a width of their own."""
    drawn = [strokes[name] for name in sorted(strokes)]
    return _drawn(n, random, lambda pen: _letter(pen, random, drawn[random.integers(len(drawn))]))


def stroke_letters_like_digits(n: int, random: Random) -> Pictures:
    """A letter as a hand draws it that is a digit as well."""
    return stroke_letters(n, random, _LIKE_DIGITS)


def stroke_digits(n: int, random: Random) -> Pictures:
    """Digits by the pen of the letters."""
    return stroke_letters(n, random, _DIGITS)


def font_letters(n: int, random: Random, letters: str = LETTERS) -> Pictures:
    """Printed letters in several fonts, turned and shifted a little."""
    fonts = [
        ImageFont.truetype(str(Path(get_data_path()) / "fonts/ttf" / name), 20 * _SCALE)
        for name in _FONTS
    ]
    pictures = []
    for _ in range(n):
        image = Image.new("L", (_LARGE, _LARGE))
        letter, font = letters[random.integers(len(letters))], fonts[random.integers(len(fonts))]
        middle = (_LARGE / 2, _LARGE / 2)
        ImageDraw.Draw(image).text(middle, letter, fill=255, font=font, anchor="mm")
        pictures.append(_shrunk(image.rotate(random.normal(0, 8))))
    return np.stack(pictures)


def clothes(n: int, random: Random) -> Pictures:
    """Shirts, trousers, dresses, shoes and bags as filled shapes with shades of their own."""
    shapes = tuple(_CLOTHES.values())
    pictures = []
    for _ in range(n):
        image = Image.new("L", (_LARGE, _LARGE))
        shape = np.array(shapes[random.integers(len(shapes))]) + random.normal(0, 0.02, (1, 2))
        shape = shape + random.normal(0, 0.015, shape.shape)
        points = [tuple(point) for point in 0.06 * _LARGE + shape * 0.88 * _LARGE]
        ImageDraw.Draw(image).polygon(points, fill=255)
        texture = random.normal(random.uniform(90, 220), random.uniform(5, 45), (SIDE, SIDE))
        rows = np.sin(np.arange(SIDE) * random.uniform(0.3, 2.0)) * random.uniform(0, 30)
        shade = np.clip(texture + rows[:, None], 0, 255) / 255
        pictures.append((_shrunk(image) * shade).astype(np.uint8))
    return np.stack(pictures)


def noise(n: int, random: Random) -> Pictures:
    """Uniform, sparse and blurred noise."""
    pictures = []
    for place in range(n):
        values = random.uniform(0, 255, (SIDE, SIDE))
        if place % 3 == 1:
            values = np.where(random.random((SIDE, SIDE)) < random.uniform(0.05, 0.5), 255.0, 0.0)
        image = Image.fromarray(values.astype(np.uint8))
        if place % 3 == 2:
            image = image.filter(ImageFilter.GaussianBlur(random.uniform(1, 2)))
            image = _stretched(image)
        pictures.append(np.asarray(image))
    return np.stack(pictures)


def dots(n: int, random: Random) -> Pictures:
    """One round dot anywhere."""

    def dot(pen: ImageDraw.ImageDraw) -> None:
        x, y = random.uniform(0.2, 0.8, 2) * _LARGE
        radius = random.uniform(0.8, 3.0) * _SCALE
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)

    return _drawn(n, random, dot, tilt=0)


def symbols(n: int, random: Random) -> Pictures:
    """Frames, ticks, stars, arrows, spirals and scribbles."""
    kinds = (_frame, _tick, _star, _arrow, _spiral, _scribble)
    return _drawn(n, random, lambda pen: kinds[random.integers(len(kinds))](pen, random))


def blank(n: int, _random: Random) -> Pictures:
    """Nothing."""
    return np.zeros((n, SIDE, SIDE), np.uint8)


def pairs(digits: Pictures, n: int, random: Random) -> Pictures:
    """Two digits beside one another, as in a number."""
    pictures = []
    for first, second in random.integers(len(digits), size=(n, 2)):
        both = Image.new("L", (2 * SIDE, 2 * SIDE))
        gap = int(random.integers(4, 9))
        both.paste(Image.fromarray(digits[first]).crop((gap // 2, 0, 28 - gap // 2, 28)), (4, 14))
        both.paste(Image.fromarray(digits[second]).crop((gap // 2, 0, 28, 28)), (31 - gap, 14))
        pictures.append(np.asarray(both.resize((SIDE, SIDE), Image.Resampling.BOX)))
    return np.stack(pictures)


DRAWINGS: Mapping[str, Callable[[int, Random], Pictures]] = {
    "letters drawn by strokes": stroke_letters,
    "letters in print": font_letters,
    "clothes": clothes,
    "noise": noise,
    "symbols": symbols,
    "dots": dots,
    "blank": blank,
}


def _drawn(
    n: int, random: Random, draw: Callable[[ImageDraw.ImageDraw], None], tilt: float = 6
) -> Pictures:
    pictures = []
    for _ in range(n):
        image = Image.new("L", (_LARGE, _LARGE))
        draw(ImageDraw.Draw(image))
        pictures.append(_shrunk(image.rotate(random.normal(0, tilt)) if tilt else image))
    return np.stack(pictures)


def _shrunk(image: Image.Image) -> Pictures:
    return np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX))


def _stretched(image: Image.Image) -> Image.Image:
    values = np.asarray(image, np.float64)
    values = (values - values.min()) / max(float(np.ptp(values)), 1.0)
    return Image.fromarray((255 * values).astype(np.uint8))


def _line(
    pen: ImageDraw.ImageDraw, points: NDArray[np.float64], width: float, smooth: bool = True
) -> None:
    """A stroke with round ends through points in the unit square."""
    if smooth and len(points) > 2:
        points = _curve(points)
    places = [tuple(0.18 * _LARGE + point * 0.64 * _LARGE) for point in points]
    pen.line(places, fill=255, width=round(width), joint="curve")
    radius = width / 2
    for x, y in places:
        pen.ellipse((x - radius, y - radius, x + radius, y + radius), fill=255)


def _curve(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Corners cut twice (Chaikin 1974): rounder, as a hand turns."""
    for _ in range(2):
        cut = np.stack([0.8 * points[:-1] + 0.2 * points[1:], 0.2 * points[:-1] + 0.8 * points[1:]])
        inner = cut.transpose(1, 0, 2).reshape(-1, 2)
        points = np.concatenate([points[:1], inner, points[-1:]])
    return points


def _width(random: Random) -> float:
    return float(random.uniform(1.8, 3.6)) * _SCALE


def _letter(pen: ImageDraw.ImageDraw, random: Random, strokes: Strokes) -> None:
    slant, width = random.normal(0, 0.12), _width(random)
    narrow = random.uniform(0.7, 1.0)
    for stroke in strokes:
        points = np.array(stroke, float) + random.normal(0, 0.03, (len(stroke), 2))
        points[:, 0] = 0.5 + narrow * (points[:, 0] - 0.5) + slant * (0.5 - points[:, 1])
        _line(pen, points, width)


def _frame(pen: ImageDraw.ImageDraw, random: Random) -> None:
    corners = np.array([(0, 0), (1, 0), (1, 1), (0, 1), (0, 0)], float)
    _line(pen, corners + random.normal(0, 0.03, (5, 2)), _width(random), smooth=False)


def _tick(pen: ImageDraw.ImageDraw, random: Random) -> None:
    points = np.array([(0, 0.6), (0.35, 1), (1, 0.1)]) + random.normal(0, 0.05, (3, 2))
    _line(pen, points, _width(random), smooth=False)


def _star(pen: ImageDraw.ImageDraw, random: Random) -> None:
    angles = np.arange(6) * 0.8 * np.pi + random.normal(0, 0.1)
    points = 0.5 + 0.55 * np.stack([np.sin(angles), -np.cos(angles)], axis=1)
    _line(pen, points, _width(random) * 0.7, smooth=False)


def _arrow(pen: ImageDraw.ImageDraw, random: Random) -> None:
    width = _width(random)
    for points in (((0, 0.5), (1, 0.5)), ((0.6, 0.15), (1, 0.5), (0.6, 0.85))):
        _line(pen, np.array(points) + random.normal(0, 0.03, (len(points), 2)), width, smooth=False)


def _spiral(pen: ImageDraw.ImageDraw, random: Random) -> None:
    angles = np.linspace(0, random.uniform(4.5, 6) * np.pi, 60)
    radius = angles / angles[-1] * 0.55
    points = 0.5 + np.stack([radius * np.cos(angles), radius * np.sin(angles)], axis=1)
    _line(pen, points, _width(random) * 0.6)


def _scribble(pen: ImageDraw.ImageDraw, random: Random) -> None:
    _line(pen, random.uniform(0, 1, (int(random.integers(7, 12)), 2)), _width(random) * 0.7)


_CLOTHES: Mapping[str, Sequence[tuple[float, float]]] = {
    "shirt": (
        (0.3, 0.05), (0.42, 0.1), (0.58, 0.1), (0.7, 0.05), (1, 0.25), (0.9, 0.42), (0.75, 0.35),
        (0.75, 0.95), (0.25, 0.95), (0.25, 0.35), (0.1, 0.42), (0, 0.25),
    ),
    "pullover": (
        (0.3, 0.05), (0.7, 0.05), (0.9, 0.2), (1, 0.9), (0.86, 0.92), (0.75, 0.4), (0.75, 0.95),
        (0.25, 0.95), (0.25, 0.4), (0.14, 0.92), (0, 0.9), (0.1, 0.2),
    ),
    "trousers": (
        (0.28, 0), (0.72, 0), (0.8, 1), (0.58, 1), (0.5, 0.3), (0.42, 1), (0.2, 1),
    ),
    "dress": (
        (0.35, 0), (0.45, 0.08), (0.55, 0.08), (0.65, 0), (0.62, 0.4), (0.85, 1), (0.15, 1),
        (0.38, 0.4),
    ),
    "shoe": (
        (0, 0.45), (0.3, 0.4), (0.45, 0.55), (0.9, 0.65), (1, 0.8), (0, 0.8),
    ),
    "boot": (
        (0.2, 0.05), (0.55, 0.05), (0.55, 0.6), (0.95, 0.75), (1, 0.95), (0.2, 0.95),
    ),
    "bag": (
        (0, 0.35), (0.25, 0.35), (0.35, 0.1), (0.65, 0.1), (0.75, 0.35), (1, 0.35), (1, 0.95),
        (0, 0.95),
    ),
}  # fmt: skip
