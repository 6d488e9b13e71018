"""Justifies the bounds of digits' data gates: honest nights pass them, spoilt ones do not.

Many seeded nights of genuine digits go through the gates as they are declared: blocks of the
training images in their order (writer after writer, the harder case), random subsets, and the
source's own next nights; then the same spoilt in known ways. The champion is what the default
settings train on the first 50,000 images, or a predictor that is named.

    python -m benchmarks.data.drift --folder MNIST --predictor predictor.tflite
"""

import argparse
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa

from overnight import models
from overnight.models.data_gates.drift import SameShares
from overnight.models.definition import Places
from overnight.models.digits.rows import Digits, as_rows
from overnight.store.registry.manifest import Finding
from overnight.tasks.data.admission import check_admission
from overnight.tasks.evaluation.data_drift import DriftReference, DriftReport, compare
from overnight.tasks.evaluation.evaluate import Champion
from overnight.tasks.training.train import train

DIGITS = models.find("digits")
SIZES = (30, 100, 300, 1_000)
LEARNED_ROWS = 50_000
Spoil = Callable[[Digits, np.random.Generator], Digits]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="MNIST's four IDX files (else fetched)")
    parser.add_argument("--predictor", type=Path, help="the champion (else one is trained)")
    parser.add_argument("--nights", type=int, default=40, help="of each kind and size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source = DIGITS.open_source(Places(arguments.folder, Path(place) / "source"))
        night = Night(source, arguments.predictor, Path(place))
        print("| night | " + " | ".join(f"{n:,} rows" for n in SIZES) + " | most often named |")
        print("|---|" + "---|" * (len(SIZES) + 1))
        for name, spoil in SPOILT.items():
            for draw in ("block", "subset") if name == "honest" else ("block",):
                told(
                    f"{name}, {draw}" if name == "honest" else name,
                    night,
                    spoil,
                    draw,
                    arguments.nights,
                )
        print("\nLargest distance of any honest night, and the bound:\n")
        largest(night, arguments.nights)


class Night:
    """The world before a night: what was learned, the champion, and digits it has not seen."""

    def __init__(self, source: models.definition.Source, predictor: Path | None, place: Path):
        names: set[str] = set()
        tables = []
        while (delivery := source.deliver(names)) is not None:
            names.add(delivery.name)
            tables.append(source.read(delivery.files).rows)
        rows = pa.concat_tables(tables)
        self.learned, self.holdout = rows[:LEARNED_ROWS], source.holdout()
        fresh = DIGITS.examples(rows[LEARNED_ROWS:])
        self.fresh = Digits(fresh.inputs["image"], fresh.labels.astype(np.int8))
        body = predictor.read_bytes() if predictor else self._trained(place)
        self.champion = DriftReference(Champion("champion", body), frozenset({"learned"}))

    def _trained(self, place: Path) -> bytes:
        candidate = train(
            DIGITS,
            DIGITS.settings,
            fingerprint="d" * 64,
            training=DIGITS.examples(self.learned),
            holdout=DIGITS.examples(self.holdout),
            folder=place / "champion",
            seconds=3_600,
            report=lambda _progress: None,
        )
        return candidate.read("predictor.tflite")

    def drawn(self, n: int, draw: str, chance: np.random.Generator) -> Digits:
        """`n` digits that were not learned: in their order, or from anywhere."""
        most = len(self.fresh.labels)
        if draw == "subset":
            chosen = chance.choice(most, n, replace=False)
        else:
            start = int(chance.integers(0, most - n + 1))
            chosen = np.arange(start, start + n)
        return Digits(self.fresh.images[chosen], self.fresh.labels[chosen])

    def judged(self, nights: dict[str, Digits]) -> DriftReport:
        """What the gates say of several arrivals; what is refused at the door counts as held."""
        tables = {name: as_rows(digits) for name, digits in nights.items()}
        refused: list[Finding] = []
        for name, table in tables.items():
            refused += check_admission(table, DIGITS.data_gates, name)
        inside = {n: t for n, t in tables.items() if n not in {one.slice for one in refused}}
        parts = [_stamped(self.learned, "learned"), *(_stamped(t, n) for n, t in inside.items())]
        found = compare(
            pa.concat_tables(parts), self.holdout, DIGITS, reference=self.champion, decisions={}
        )
        held = {*found.pending, *(one.slice for one in refused)}
        return DriftReport((*found.findings, *refused), tuple(held))


def told(title: str, night: Night, spoil: Spoil, draw: str, nights: int) -> None:
    """One line of the table: how many nights of each size were held, and for what."""
    found = night.judged(drawn_nights(night, draw, spoil, nights))
    held = Counter(_size(name) for name in found.pending)
    named = Counter(
        one.metric for one in found.findings if not one.passed and _size(one.slice) == SIZES[-1]
    )
    offenders = ", ".join(f"{name} ({count})" for name, count in named.most_common(2)) or "none"
    shares = " | ".join(f"{held[n]} of {nights}" for n in SIZES)
    print(f"| {title} | {shares} | {offenders} |", flush=True)


def largest(night: Night, nights: int) -> None:
    """The largest distances that honest nights showed, gate by gate."""
    found = night.judged(drawn_nights(night, "block", honest, nights)).findings
    print("| of | " + " | ".join(f"{n:,} rows" for n in SIZES) + " | bound |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for gate in DIGITS.data_gates.shifts:
        metric = gate.category if isinstance(gate, SameShares) else gate.number
        most = (
            max(f.value for f in found if f.metric == metric and _size(f.slice) == n) for n in SIZES
        )
        print(f"| {metric} | " + " | ".join(f"{one:.2f}" for one in most) + f" | {gate.bound:g} |")


def drawn_nights(night: Night, draw: str, spoil: Spoil, nights: int) -> dict[str, Digits]:
    """As many nights of each size, spoilt, by names that tell the size."""
    found = {}
    for n in SIZES:
        for seed in range(nights):
            chance = np.random.default_rng([n, seed])
            found[f"{n}-{seed}"] = spoil(night.drawn(n, draw, chance), chance)
    return found


def _size(name: str) -> int:
    return int(name.partition("-")[0]) if "-" in name else 0


def _stamped(rows: pa.Table, arrival: str) -> pa.Table:
    stamps = pa.array([arrival] * rows.num_rows, pa.string())
    return rows.append_column("arrival", stamps)


def honest(digits: Digits, _: np.random.Generator) -> Digits:
    return digits


def inverted(digits: Digits, _: np.random.Generator) -> Digits:
    return Digits(255 - digits.images, digits.labels)


def partly_inverted(digits: Digits, _: np.random.Generator) -> Digits:
    images = digits.images.copy()
    images[::5] = 255 - images[::5]
    return Digits(images, digits.labels)


def blank(digits: Digits, _: np.random.Generator) -> Digits:
    return Digits(np.zeros_like(digits.images), digits.labels)


def scaled(digits: Digits, _: np.random.Generator) -> Digits:
    return Digits(digits.images // 255, digits.labels)


def shifted(digits: Digits, _: np.random.Generator) -> Digits:
    images = np.zeros_like(digits.images)
    images[:, 8:] = digits.images[:, :-8]
    return Digits(images, digits.labels)


def mirrored(digits: Digits, _: np.random.Generator) -> Digits:
    return Digits(np.ascontiguousarray(digits.images[:, :, ::-1]), digits.labels)


def without_sevens(digits: Digits, _: np.random.Generator) -> Digits:
    kept = digits.labels != 7
    return Digits(digits.images[kept], digits.labels[kept])


def permuted(digits: Digits, chance: np.random.Generator) -> Digits:
    return Digits(digits.images, chance.permutation(digits.labels))


def mislabelled(digits: Digits, chance: np.random.Generator) -> Digits:
    wrong = chance.random(len(digits.labels)) < 0.1
    return Digits(digits.images, np.where(wrong, (digits.labels + 1) % 10, digits.labels))


SPOILT: dict[str, Spoil] = {
    "honest": honest,
    "inverted": inverted,
    "every fifth inverted": partly_inverted,
    "blank": blank,
    "0–1 instead of 0–255": scaled,
    "shifted by 8 pixels": shifted,
    "mirrored": mirrored,
    "without sevens": without_sevens,
    "labels permuted": permuted,
    "10 % of labels wrong": mislabelled,
}


if __name__ == "__main__":
    main()
