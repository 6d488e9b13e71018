"""Rows of the six models of `tests/projects/shop`, by a seed: a holdout and three arrivals.

Arrival 2 brings a category that nobody has seen, and arrival 3 another column.
"""

import io
import json
from collections.abc import Callable, Mapping
from functools import partial

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

HOLDOUT = 0
Draws = np.random.Generator
# Rows of the holdout and of each arrival.
COUNTS = (300, 400, 120, 120)


def draws(model: str, arrival: int) -> Draws:
    return np.random.default_rng([*model.encode(), arrival])


def churn(arrival: int) -> pa.Table:
    """Customers with gaps in their ages, several to a household; arrival 2 has the tariff green."""
    random, n = draws("churn", arrival), COUNTS[arrival]
    tariffs = ["basic", "plus", "night"] + ["green"] * (arrival >= 2)
    tariff = random.choice(tariffs, n)
    age = np.where(random.random(n) < 0.2, np.nan, random.integers(18, 90, n))
    use = np.where(random.random(n) < 0.1, np.nan, random.gamma(4, 60, n))
    complaints = random.poisson(1, n)
    chance = 2.5 * (complaints - 1) + 3 * (tariff == "basic") - 2 * np.isnan(age) - 0.5
    columns = {
        "customer": [f"{arrival}-{number}" for number in range(n)],
        "household": [f"{arrival}-{home}" for home in random.integers(0, n, n)],
        "tariff": tariff,
        "age": _gaps(np.round(age, 1)),
        "use": _gaps(np.round(use, 2)),
        "complaints": complaints,
        "left": np.where(chance + random.normal(0, 0.7, n) > 0, "leaves", "stays"),
    }
    return pa.table(columns | ({"app": random.integers(0, 2, n)} if arrival >= 3 else {}))


_WORDS = {
    "delivery": [
        "parcel",
        "late",
        "courier",
        "door",
        "track",
        "lost",
        "arrive",
        "driver",
        "depot",
        "waiting",
    ],
    "billing": [
        "invoice",
        "charge",
        "twice",
        "refund",
        "card",
        "price",
        "amount",
        "paid",
        "wrong",
        "bank",
    ],
    "defect": [
        "broken",
        "crack",
        "screen",
        "noise",
        "stop",
        "dead",
        "battery",
        "smoke",
        "loose",
        "scratch",
    ],
}
_COMMON = [
    "the",
    "my",
    "is",
    "a",
    "it",
    "was",
    "please",
    "again",
    "still",
    "not",
    "and",
    "order",
    "since",
    "week",
    "two",
]


def tickets(arrival: int) -> pa.Table:
    """Short letters of customers by topic; from arrival 2 on some come by chat."""
    random, n = draws("tickets", arrival), COUNTS[arrival]
    topics = random.choice(list(_WORDS), n)
    texts = [
        " ".join(random.permutation([*random.choice(_WORDS[topic], 3), *random.choice(_COMMON, 6)]))
        for topic in topics
    ]
    columns = {
        "text": texts,
        "channel": random.choice(["letter", "phone"] + ["chat"] * (arrival >= 2), n),
        "topic": topics,
    }
    return pa.table(columns | ({"stars": random.integers(1, 6, n)} if arrival >= 3 else {}))


def heating(arrival: int) -> pa.Table:
    """What buildings need a day; arrival 2 has schools, which the given network does not know."""
    random, n = draws("heating", arrival), COUNTS[arrival]
    kind = random.choice(["flat", "house"] + ["school"] * (arrival >= 2), n)
    area, outside = random.uniform(30, 200, n), random.uniform(-10, 15, n)
    people = random.integers(1, 7, n)
    need = (18 - outside) * area * (0.02 + 0.01 * (kind == "house")) * random.normal(1, 0.05, n)
    columns = {
        "area": np.round(area, 1),
        "outside": np.round(outside, 1),
        "kind": kind,
        "need": np.round(need + (people if arrival >= 3 else 2), 2),
    }
    return pa.table(columns | ({"people": people} if arrival >= 3 else {}))


def machines(arrival: int) -> pa.Table:
    """Readings at irregular times, 5 to 40 of each machine; arrival 2 has the site north."""
    random, n = draws("machines", arrival), COUNTS[arrival]
    site = random.choice(["east", "west"] + ["north"] * (arrival >= 2), n)
    failed = random.integers(0, 2, n)
    readings = []
    for fails in failed:
        steps = random.integers(5, 41)
        level = random.normal(20, 2) + np.cumsum(random.normal(0.5 * fails, 0.2, steps))
        readings.append(np.round(level, 2).tolist())
    columns = {
        "machine": [f"{arrival}-{number}" for number in range(n)],
        "site": site,
        "readings": readings,
        "failed": failed,
    }
    return pa.table(columns | ({"load": np.round(random.random(n), 2)} if arrival >= 3 else {}))


def garments(arrival: int) -> pa.Table:
    """Photographs of 24 × 24 pixels with a shirt or a skirt; arrival 2 has another camera."""
    random, n = draws("garments", arrival), COUNTS[arrival]
    kinds, sizes = random.choice(["shirt", "skirt"], n), random.integers(6, 19, n)
    columns = {
        "photo": [
            photograph(kind, int(size), random).tobytes()
            for kind, size in zip(kinds, sizes, strict=True)
        ],
        "camera": random.choice(["desk", "hall"] + ["phone"] * (arrival >= 2), n),
        "kind": kinds,
        "size": sizes.astype("float32"),
    }
    zoom = random.choice(np.array([1, 2], "float32"), n)
    return pa.table(columns | ({"zoom": zoom} if arrival >= 3 else {}))


def photograph(kind: str, size: int, random: Draws) -> np.ndarray:
    """A garment of some pixels' height on a grey ground, uint8 [24, 24, 3]."""
    picture = np.full((24, 24, 3), 200) + random.integers(-15, 16, (24, 24, 3))
    top, left = (24 - size) // 2, int(random.integers(2, 8))
    colour = (180, 30, 40) if kind == "shirt" else (30, 60, 170)
    picture[top : top + size, left : left + 12] = colour
    if kind == "shirt":
        picture[top + size // 2 : top + size, left : left + 3] = 200
    return picture.astype(np.uint8)


def pixels(photo: bytes) -> np.ndarray:
    """The values of a photograph as it is kept: uint8 [24, 24, 3]."""
    return np.frombuffer(photo, np.uint8).reshape(24, 24, 3)


def png(photo: bytes) -> bytes:
    """A photograph as a camera sends it."""
    body = io.BytesIO()
    Image.fromarray(pixels(photo)).save(body, "PNG")
    return body.getvalue()


def flats(arrival: int) -> pa.Table:
    """Rents of flats; arrival 2 has the district harbour."""
    random, n = draws("flats", arrival), COUNTS[arrival]
    district = random.choice(["centre", "hill", "mill"] + ["harbour"] * (arrival >= 2), n)
    area, rooms = random.uniform(20, 150, n), random.integers(1, 6, n)
    balcony = random.integers(0, 2, n)
    rent = area * (9 + 4 * (district == "centre")) * random.normal(1, 0.04, n) + 30 * rooms
    columns = {
        "area": np.round(area, 1),
        "rooms": rooms,
        "district": district,
        "rent": np.round(rent + (60 * balcony if arrival >= 3 else 0), 2),
    }
    return pa.table(columns | ({"balcony": balcony} if arrival >= 3 else {}))


ROWS: Mapping[str, Callable[[int], pa.Table]] = {
    "churn": churn,
    "tickets": tickets,
    "heating": heating,
    "machines": machines,
    "garments": garments,
    "flats": flats,
}


def csv(table: pa.Table) -> bytes:
    return table.to_pandas().to_csv(index=False).encode()


def parquet(table: pa.Table) -> bytes:
    body = io.BytesIO()
    pq.write_table(table, body)
    return body.getvalue()


def json_lines(table: pa.Table) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in table.to_pylist()).encode()


_gaps = partial(pa.array, from_pandas=True)
