"""Nights of genuine digits: honest ones pass, spoilt ones are found, and the offender is named."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.digits import DEFINITION
from overnight.models.digits.data_gates import outlines, pixels
from overnight.models.digits.rows import Digits, as_rows
from overnight.models.digits.schema import examples
from overnight.store.datasets.arrival_reviews import ArrivalReview
from overnight.tasks.data.admission import check_repeats
from overnight.tasks.data.deduplicate import count_repeats, pack_digests
from overnight.tasks.evaluation.data_drift import DriftReference, DriftReport, compare
from overnight.tasks.evaluation.published import PublishedPredictor
from tests.support.genuine_digits import GenuineDigits

LINEAR = (Path(__file__).parents[2] / "goldens" / "linear" / "predictor.tflite").read_bytes()
AT = datetime(2026, 11, 22, 2, tzinfo=UTC)
_LEARNED_ROWS = 3_000


@dataclass(frozen=True)
class Nights:
    """All training images in their order, and a part of the holdout."""

    images: np.ndarray
    labels: np.ndarray
    holdout: pa.Table

    def rows(self, start: int, end: int) -> pa.Table:
        return as_rows(Digits(self.images[start:end], self.labels[start:end]))


@pytest.fixture(scope="module")
def nights(genuine_digits: GenuineDigits) -> Nights:
    return Nights(
        genuine_digits.images,
        genuine_digits.labels.astype(np.int8),
        genuine_digits.whole_holdout.take(np.arange(0, 10_000, 5)),
    )


def stamped(rows: pa.Table, arrival: str) -> pa.Table:
    n = rows.num_rows
    return rows.append_column("arrival", pa.array([arrival] * n, pa.string()))


def compared(
    nights: Nights,
    *arrived: tuple[str, pa.Table],
    learned: bool = True,
    decisions: dict[str, ArrivalReview] | None = None,
    definition=DEFINITION,
    known: frozenset[str] = frozenset(),
) -> DriftReport:
    rows = [stamped(nights.rows(0, _LEARNED_ROWS), "night-0000")]
    rows += [stamped(table, name) for name, table in arrived]
    champion = DriftReference(
        PublishedPredictor("v1", LINEAR, DEFINITION.tensors), frozenset({"night-0000"}), known=known
    )
    return compare(
        pa.concat_tables(rows),
        nights.holdout,
        definition,
        reference=champion if learned else None,
        decisions=decisions or {},
    )


def offenders(found: DriftReport) -> set[str]:
    return {finding.metric for finding in found.findings if not finding.passed}


def test_the_next_delivery_is_like_those_before_it(nights: Nights) -> None:
    found = compared(nights, ("night-0001", nights.rows(50_000, 51_000)))

    assert offenders(found) == set()
    assert found.pending == ()
    assert {finding.slice for finding in found.findings} == {"night-0001"}
    assert [f.metric for f in found.findings if f.gate.startswith("Same")] == [
        "label",
        "mean pixel",
        "share of ink",
        "contrast",
        "centre row",
        "centre column",
        "champion's confidence",
        "champion is right",
    ]


@pytest.mark.parametrize("n", [30, 100, 300, 1_000])
def test_sound_arrivals_of_any_size_pass(nights: Nights, n: int) -> None:
    chance = np.random.default_rng(n)
    arrived = []
    for number in range(3):
        start = int(chance.integers(_LEARNED_ROWS, 51_000 - n))
        chosen = chance.choice(np.arange(_LEARNED_ROWS, 51_000), n, replace=False)
        arrived += [
            (f"block-{number}", nights.rows(start, start + n)),
            (f"some-{number}", as_rows(Digits(nights.images[chosen], nights.labels[chosen]))),
        ]

    assert compared(nights, *arrived).pending == ()


def inverted(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return 255 - images, labels


def scaled(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images // 255, labels


def shifted(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    moved = np.zeros_like(images)
    moved[:, 8:] = images[:, :-8]
    return moved, labels


def without_sevens(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images[labels != 7], labels[labels != 7]


def permuted(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return images, np.random.default_rng(1).permutation(labels)


def half_inverted(images: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    return np.concatenate([images[::2], 255 - images[1::2]]), np.r_[labels[::2], labels[1::2]]


@pytest.mark.parametrize(
    ("spoil", "named"),
    [
        (inverted, "mean pixel"),
        (half_inverted, "mean pixel"),
        (scaled, "contrast"),
        (shifted, "centre row"),
        (without_sevens, "label"),
        (permuted, "champion is right"),
    ],
)
def test_a_damaged_arrival_is_parked_and_the_statistic_named(
    nights: Nights, spoil: Callable, named: str
) -> None:
    spoilt = spoil(nights.images[50_000:50_300], nights.labels[50_000:50_300])

    found = compared(nights, ("spoilt", as_rows(Digits(*spoilt))))

    assert named in offenders(found)
    assert found.pending == ("spoilt",)
    assert "overnight accept digits spoilt" in found.message("digits")


def test_blank_images_are_refused_before_they_enter(nights: Nights) -> None:
    blank = as_rows(Digits(np.zeros((100, 28, 28), np.uint8), nights.labels[:100]))

    repeats = count_repeats(pack_digests(blank.column("digest")))
    (finding,) = check_repeats(repeats, DEFINITION.data_gates, "night-0002")

    assert (finding.gate, finding.slice, finding.passed) == ("few repeats", "night-0002", False)
    assert "99.0% of 100 rows repeat others of this arrival, at most 50.0% may" in finding.message
    assert "one occurs 100 times" in finding.message


def test_only_the_arrival_that_differs_is_parked(nights: Nights) -> None:
    good = ("good", nights.rows(50_000, 50_500))
    bad = ("bad", as_rows(Digits(255 - nights.images[50_500:51_000], nights.labels[50_500:51_000])))

    found = compared(nights, good, bad)

    assert found.pending == ("bad",)
    assert {finding.slice for finding in found.findings if not finding.passed} == {"bad"}
    assert found.failures_of("good") == ()
    assert {finding.metric for finding in found.failures_of("bad")} == offenders(found)


def test_what_others_learned_before_is_neither_judged_again_nor_compared_with(
    nights: Nights,
) -> None:
    odd = as_rows(Digits(255 - nights.images[50_500:51_000], nights.labels[50_500:51_000]))
    good = nights.rows(50_000, 50_500)

    found = compared(nights, ("odd", odd), ("good", good), known=frozenset({"odd"}))
    alone = compared(nights, ("good", good))

    assert found.pending == ()
    assert found.findings == alone.findings


def test_small_arrivals_are_judged_together_once_they_are_enough(nights: Nights) -> None:
    wrong = 255 - nights.images[50_000:50_040]
    small = [
        (f"drawn-{n}", as_rows(Digits(wrong[n : n + 10], nights.labels[50_000 + n : 50_010 + n])))
        for n in (0, 10, 20)
    ]

    few, enough = compared(nights, *small[:2]), compared(nights, *small)

    assert few.pending == ()
    assert any("20 rows are too few to judge, at least 30" in f.message for f in few.findings)
    assert enough.pending == ("drawn-0", "drawn-10", "drawn-20")
    assert {one.slice for one in enough.failures_of("drawn-10")} == {
        "drawn-0 and 2 more small arrivals"
    }


def test_small_arrivals_that_were_judged_are_not_judged_again_with_those_that_come_later(
    nights: Nights,
) -> None:
    # Given six arrivals of ten rows, of which the first three are drawn black on white.
    images = nights.images[50_000:50_060].copy()
    images[:30] = 255 - images[:30]
    labels = nights.labels[50_000:50_060]
    small = [
        (
            f"drawn-{9 - n}",
            as_rows(Digits(images[10 * n : 10 * n + 10], labels[10 * n : 10 * n + 10])),
        )
        for n in range(6)
    ]

    first, later, last = (compared(nights, *small[:count]) for count in (3, 5, 6))

    # Then they are parked together, as they came, and later ones change nothing about it.
    assert first.pending == later.pending == last.pending == ("drawn-7", "drawn-8", "drawn-9")
    name = "drawn-9 and 2 more small arrivals"
    assert first.failures_of("drawn-8") == last.failures_of("drawn-8") != ()
    assert {found.slice for found in last.failures_of("drawn-8")} == {name}
    assert last.failures_of("drawn-4") == ()
    assert any("20 rows are too few to judge" in found.message for found in later.findings)


def test_an_accepted_arrival_is_not_parked_and_its_review_is_kept(
    nights: Nights,
) -> None:
    bad = ("bad", as_rows(Digits(255 - nights.images[50_500:51_000], nights.labels[50_500:51_000])))
    word = ArrivalReview(
        model="digits", arrival="bad", verdict="accepted", by="ann", reason="a new form", sequence=1
    )

    found = compared(nights, bad, decisions={"bad": word})

    assert found.pending == ()
    assert offenders(found)
    assert all("accepted by ann: a new form" in f.message for f in found.findings if not f.passed)


def test_without_a_champion_nothing_is_compared_and_it_says_so(nights: Nights) -> None:
    found = compared(nights, ("n", nights.rows(50_000, 50_100)), learned=False)

    (finding,) = [finding for finding in found.findings if finding.gate == "shift"]
    assert not finding.applicable
    assert found.pending == ()


def test_when_nothing_arrived_nothing_is_compared(nights: Nights) -> None:
    (finding,) = compared(nights).findings

    assert finding.message == "nothing arrived since v1 learned"
    assert not finding.applicable


def test_near_duplicates_of_the_holdout_are_found(nights: Nights) -> None:
    held_out = examples(nights.holdout)
    moved = np.zeros_like(held_out.inputs["image"][:100])
    moved[:, 1:, 2:] = held_out.inputs["image"][:100, :-1, :-2]
    leaked = as_rows(Digits(moved, held_out.labels[:100].astype(np.int8)))
    rows = pa.concat_tables([nights.rows(50_000, 50_900), leaked])

    found = compared(nights, ("leaking", rows), learned=False)

    (finding,) = [finding for finding in found.findings if not finding.passed]
    assert (finding.gate, finding.slice) == ("unlike the holdout", "leaking")
    assert finding.value is not None
    assert 0.08 < finding.value < 0.1
    assert found.pending == ("leaking",)


@pytest.mark.parametrize(("alike", "passed"), [(9, True), (10, True), (11, False)])
def test_as_many_may_look_alike_as_is_declared(nights: Nights, alike: int, passed: bool) -> None:
    gates = replace(
        DEFINITION.data_gates,
        near_duplicate_keys=lambda inputs: [image.tobytes() for image in inputs["image"]],
    )
    held_out = examples(nights.holdout)
    shared = as_rows(
        Digits(held_out.inputs["image"][:alike], held_out.labels[:alike].astype(np.int8))
    )
    rows = pa.concat_tables([nights.rows(50_000, 51_000 - alike), shared])

    found = compared(
        nights, ("n", rows), learned=False, definition=replace(DEFINITION, data_gates=gates)
    )

    assert (found.pending == ()) is passed


def test_an_outline_stays_when_an_image_moves_or_brightens() -> None:
    image = np.zeros((1, 28, 28), np.uint8)
    image[0, 10:18, 12:15] = 100
    moved = np.roll(image, (3, -5), axis=(1, 2))

    assert (
        outlines({"image": image}) == outlines({"image": moved}) == outlines({"image": image * 2})
    )
    assert outlines({"image": image}) != outlines({"image": image.transpose(0, 2, 1)})
    assert len(outlines({"image": np.zeros((3, 28, 28), np.uint8)})) == 3


def test_statistics_of_a_plain_image_are_what_one_counts_by_hand() -> None:
    image = np.zeros((2, 28, 28), np.uint8)
    image[0, 4, 6], image[0, 4, 8] = 196, 196

    found = pixels({"image": image})

    assert found["mean pixel"].tolist() == [0.5, 0]
    assert found["share of ink"].tolist() == [2 / 784, 0]
    assert found["centre row"].tolist() == [4, 13.5]
    assert found["centre column"].tolist() == [7, 13.5]
    assert found["contrast"][1] == 0
