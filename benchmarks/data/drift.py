"""Claim: unchanged arrivals pass the data gates of the digits, and corrupted ones do not.

Many seeded arrivals of genuine digits go through the declared gates: blocks of the training images
in their order (writer by writer, the harder case) and random subsets, unchanged and corrupted in
known ways. The champion is trained with the default settings on the first 50,000 images, unless a
predictor is given.

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
from overnight.tasks.data.admission import check_columns_of, check_repeats
from overnight.tasks.data.deduplicate import count_repeats, pack_digests
from overnight.tasks.evaluation.data_drift import DriftReference, DriftReport, compare
from overnight.tasks.evaluation.published import PublishedPredictor
from overnight.tasks.training.train import train

DIGITS = models.find("digits")
SIZES = (30, 100, 300, 1_000)
LEARNED_ROWS = 50_000
Corruption = Callable[[Digits, np.random.Generator], Digits]


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="MNIST's four IDX files (else fetched)")
    parser.add_argument("--predictor", type=Path, help="the champion (else one is trained)")
    parser.add_argument("--arrivals", type=int, default=40, help="of each kind and size")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source = DIGITS.open_source(Places(arguments.folder, Path(place) / "source"))
        population = Population(source, arguments.predictor, Path(place))
        sizes = " | ".join(f"{n:,} rows" for n in SIZES)
        print(f"| arrival | {sizes} | most frequent finding |")
        print("|---|" + "---|" * (len(SIZES) + 1))
        for name, corrupt in CORRUPTIONS.items():
            for draw in ("block", "subset") if name == "unchanged" else ("block",):
                title = f"{name}, {draw}" if name == "unchanged" else name
                print_parked(title, population, corrupt, draw, arguments.arrivals)
        print("\nLargest distance of any unchanged arrival, and the bound:\n")
        print_largest_distances(population, arguments.arrivals)


class Population:
    """What the champion learned, the champion, and digits that it has not learned."""

    def __init__(self, source: models.definition.Source, predictor: Path | None, place: Path):
        names: set[str] = set()
        tables = []
        while (delivery := source.deliver(names)) is not None:
            names.add(delivery.name)
            tables.append(source.read(delivery.files).rows)
        rows = pa.concat_tables(tables)
        self.learned, self.holdout = rows[:LEARNED_ROWS], source.holdout()
        fresh = DIGITS.examples(rows[LEARNED_ROWS:])
        self.fresh = Digits(fresh.inputs["image"], fresh.labels_of().astype(np.int8))
        body = predictor.read_bytes() if predictor else self._trained(place)
        self.champion = DriftReference(
            PublishedPredictor("champion", body, DIGITS.tensors), frozenset({"learned"})
        )

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

    def draw(self, n: int, draw: str, chance: np.random.Generator) -> Digits:
        """`n` digits that were not learned: a block in their order, or a random subset."""
        most = len(self.fresh.labels)
        if draw == "subset":
            chosen = chance.choice(most, n, replace=False)
        else:
            start = int(chance.integers(0, most - n + 1))
            chosen = np.arange(start, start + n)
        return Digits(self.fresh.images[chosen], self.fresh.labels[chosen])

    def judge(self, arrivals: dict[str, Digits]) -> DriftReport:
        """The findings on several arrivals; one that ingest refuses counts as parked."""
        tables = {name: as_rows(digits) for name, digits in arrivals.items()}
        refused: list[Finding] = []
        for name, table in tables.items():
            repeats = count_repeats(pack_digests(table.column("digest")))
            refused += check_columns_of(table, DIGITS.data_gates, name)
            refused += check_repeats(repeats, DIGITS.data_gates, name)
        names = {finding.slice for finding in refused}
        admitted = {name: table for name, table in tables.items() if name not in names}
        parts = [_stamped(self.learned, "learned"), *(_stamped(t, n) for n, t in admitted.items())]
        report = compare(
            pa.concat_tables(parts), self.holdout, DIGITS, reference=self.champion, decisions={}
        )
        return DriftReport(
            (*report.findings, *refused), tuple({*report.pending, *names}), report.members
        )


def print_parked(
    title: str, population: Population, corrupt: Corruption, draw: str, arrivals: int
) -> None:
    """One line of the table: how many arrivals of each size were parked, and the metrics."""
    report = population.judge(draw_arrivals(population, draw, corrupt, arrivals))
    parked = Counter(_size(name) for name in report.pending)
    failed = Counter(
        finding.metric
        for finding in report.findings
        if not finding.passed and _size(finding.slice) == SIZES[-1]
    )
    metrics = ", ".join(f"{name} ({count})" for name, count in failed.most_common(2)) or "none"
    shares = " | ".join(f"{parked[n]} of {arrivals}" for n in SIZES)
    print(f"| {title} | {shares} | {metrics} |", flush=True)


def print_largest_distances(population: Population, arrivals: int) -> None:
    """The largest distances of unchanged arrivals, gate by gate."""
    findings = population.judge(draw_arrivals(population, "block", unchanged, arrivals)).findings
    print("| distance of | " + " | ".join(f"{n:,} rows" for n in SIZES) + " | bound |")
    print("|---|" + "---|" * (len(SIZES) + 1))
    for gate in DIGITS.data_gates.shifts:
        metric = gate.category if isinstance(gate, SameShares) else gate.number
        measured = [finding for finding in findings if finding.metric == metric]
        largest = (max(f.value for f in measured if _size(f.slice) == n) for n in SIZES)
        cells = " | ".join(f"{distance:.2f}" for distance in largest)
        print(f"| {metric} | {cells} | {gate.bound:g} |")


def draw_arrivals(
    population: Population, draw: str, corrupt: Corruption, arrivals: int
) -> dict[str, Digits]:
    """Corrupted arrivals of each size; their names begin with it."""
    drawn = {}
    for n in SIZES:
        for seed in range(arrivals):
            chance = np.random.default_rng([n, seed])
            drawn[f"{n}-{seed}"] = corrupt(population.draw(n, draw, chance), chance)
    return drawn


def _size(name: str) -> int:
    return int(name.partition("-")[0]) if "-" in name else 0


def _stamped(rows: pa.Table, arrival: str) -> pa.Table:
    stamps = pa.array([arrival] * rows.num_rows, pa.string())
    return rows.append_column("arrival", stamps)


def unchanged(digits: Digits, _: np.random.Generator) -> Digits:
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


CORRUPTIONS: dict[str, Corruption] = {
    "unchanged": unchanged,
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
