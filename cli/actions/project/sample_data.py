"""Generated rows, so that a new model can be trained at once."""

import csv
import io
from collections.abc import Callable, Iterable, Mapping
from datetime import date, timedelta

import numpy as np
from PIL import Image, ImageDraw


def _csv(header: list[str], rows: Iterable[Iterable[object]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return text.getvalue()


def customers(n: int, *, seed: int) -> str:
    """Customers with gaps and categories; those who call often and pay much leave."""
    random = np.random.default_rng(seed)
    rows = []
    for number in range(n):
        months, calls = int(random.integers(1, 120)), int(random.poisson(2))
        fee = round(float(random.gamma(6, 8)), 2)
        plan = str(random.choice(["basic", "family", "business"], p=[0.5, 0.3, 0.2]))
        region = str(random.choice(["north", "south", "east", "west", ""]))
        age_group = str(random.choice(["under 30", "30 to 60", "over 60"]))
        pressure = 0.9 * calls + fee / 20 - months / 30 + (plan == "basic") - 3.5
        leaves = random.random() < 1 / (1 + np.exp(-1.5 * pressure))
        shown = "" if random.random() < 0.1 else fee
        outcome = "leaves" if leaves else "stays"
        rows.append(
            [f"c{seed}-{number:05d}", months, shown, calls, plan, region, age_group, outcome]
        )
    header = ["customer", "months", "fee", "calls", "plan", "region", "age_group", "outcome"]
    return _csv(header, rows)


def flats(n: int, *, seed: int) -> str:
    """Rents of flats by area, age, district and heating."""
    random = np.random.default_rng(seed)
    districts = {"centre": 19.0, "harbour": 16.0, "park": 14.0, "station": 11.0}
    rows = []
    for number in range(n):
        area = round(float(random.uniform(20, 140)), 1)
        built = int(random.integers(1900, 2025))
        district = str(random.choice(list(districts)))
        heating = str(random.choice(["gas", "district", "pump", ""]))
        rent = area * districts[district] * (0.8 + 0.4 * (built - 1900) / 125)
        rent += 60 * (heating == "pump") + random.normal(0, 40)
        year = "" if random.random() < 0.15 else built
        rooms = max(1, round(area / 28))
        rows.append([f"f{seed}-{number:05d}", area, rooms, year, district, heating, round(rent, 2)])
    return _csv(["flat", "area", "rooms", "built", "district", "heating", "rent"], rows)


def messages(n: int, *, seed: int) -> str:
    """Short messages about three topics, no two alike."""
    random = np.random.default_rng(seed)
    topics = {
        "delivery": "parcel courier late tracking arrived address shipped waiting door",
        "payment": "invoice card charged refund twice account bank amount price",
        "quality": "broken scratched colour stopped working loose smells button screen",
    }
    common = "the my order please help is was i you since again still with very hello"
    rows = []
    for number in range(n):
        topic = str(random.choice(list(topics)))
        terms = [*random.choice(topics[topic].split(), 3), *random.choice(common.split(), 6)]
        rows.append(
            [" ".join([*random.permutation(terms), f"no {seed * 100_000 + number}"]), topic]
        )
    return _csv(["message", "topic"], rows)


def shops(first: date, days: int, *, seed: int) -> str:
    """Daily units of four shops, more towards the end of a week; some days are missing."""
    random = np.random.default_rng(seed)
    usual = {"north": 40.0, "south": 90.0, "east": 15.0, "west": 25.0}
    rows = [
        [shop, day.isoformat(), int(random.poisson(units * (0.7 + 0.12 * day.weekday())))]
        for day in (first + timedelta(days=n) for n in range(days))
        for shop, units in usual.items()
        if random.random() > 0.02
    ]
    return _csv(["shop", "day", "units"], rows)


def shapes(n: int, *, seed: int) -> dict[str, bytes]:
    """Circles, squares and crosses in colour as PNG, by path: a folder for each."""
    random = np.random.default_rng(seed)
    files = {}
    for number in range(n):
        shape = ("circle", "square", "cross")[number % 3]
        side = int(random.integers(28, 40))
        paper, ink = (tuple(map(int, random.integers(*ends, 3))) for ends in ((170, 256), (0, 90)))
        image = Image.new("RGB", (side, side), paper)
        draw, size = ImageDraw.Draw(image), int(random.integers(13, 20))
        x, y = (int(random.integers(2, side - size - 2)) for _ in range(2))
        box, other = (x, y, x + size, y + size), (x, y + size, x + size, y)
        if shape == "circle":
            draw.ellipse(box, fill=ink)
        elif shape == "square":
            draw.rectangle(box, fill=ink)
        else:
            draw.line(box, fill=ink, width=3)
            draw.line(other, fill=ink, width=3)
        body = io.BytesIO()
        image.save(body, format="PNG")
        files[f"{shape}/{seed}-{number:04d}.png"] = body.getvalue()
    return files


def _rows(generate: Callable[..., str]) -> Mapping[str, bytes]:
    """A holdout, a first arrival and a second one."""
    sizes = {"holdout.csv": (240, 1), "night-0001.csv": (900, 2), "night-0002.csv": (120, 3)}
    return {name: generate(n, seed=seed).encode() for name, (n, seed) in sizes.items()}


def _series() -> Mapping[str, bytes]:
    """Half a year, and the week after it; the newest days are the holdout."""
    first, later = date(2026, 1, 1), date(2026, 7, 1)
    days = (later - first).days
    return {
        "night-0001.csv": shops(first, days, seed=2).encode(),
        "night-0002.csv": shops(later, 7, seed=3).encode(),
    }


def _pictures() -> Mapping[str, bytes]:
    sizes = {"holdout": (102, 1), "night-0001": (300, 2), "night-0002": (30, 3)}
    return {
        f"{name}/{path}": body
        for name, (n, seed) in sizes.items()
        for path, body in shapes(n, seed=seed).items()
    }


# The files of each starter's folder of rows, by their paths in it; the same bytes every time.
SAMPLES: Mapping[str, Callable[[], Mapping[str, bytes]]] = {
    "classification": lambda: _rows(customers),
    "regression": lambda: _rows(flats),
    "text": lambda: _rows(messages),
    "images": _pictures,
    "series": _series,
}


def files(starter: str) -> Mapping[str, bytes]:
    """The generated rows of a starter: a holdout and arrivals, by their paths in its folder."""
    return SAMPLES[starter]()
