"""Claim: at one digit in a hundred flagged, the score finds letters, clothes, noise and blanks.

Digits are trained by the steps of a nightly run on the first 50,000 images; the threshold comes
from the rows that validate the fit. False flags are counted on t10k, which neither trained nor
calibrated, and finds on drawings that the score was not trained on (`tests/support/drawings.py`).

    python -m benchmarks.models.novelty --folder MNIST
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from overnight import models
from overnight.models.definition import Places
from overnight.models.examples import Examples
from overnight.serving.inference.runtime import Predictor
from overnight.store.novelty import UNLIKE_TRAINING, NoveltyRule
from overnight.tasks.training.train import NOVELTY, Candidate, train
from tests.support import drawings
from tests.support.serving import bundles

DIGITS = models.find("digits")
ROWS = 2_000
SINGLE_ROWS = 3_000


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="MNIST's four IDX files (else fetched)")
    parser.add_argument("--epochs", type=int, default=DIGITS.settings.epochs)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        source = DIGITS.open_source(Places(arguments.folder, Path(place) / "source"))
        delivery = source.deliver(())
        assert delivery is not None
        training = DIGITS.examples(source.read(delivery.files).rows)
        holdout = DIGITS.examples(source.holdout())
        candidate = train(
            DIGITS,
            DIGITS.settings.model_copy(update={"epochs": arguments.epochs}),
            fingerprint="0" * 64,
            training=training,
            holdout=holdout,
            folder=Path(place) / "fit",
            seconds=7_200,
            report=lambda _progress: None,
        )
        report(candidate, holdout)


def report(candidate: Candidate, holdout: Examples) -> None:
    """Print the share that is flagged of each kind, and what that costs for each request."""
    rule = NoveltyRule.model_validate_json(candidate.read(NOVELTY))
    network = {"predictor.tflite": candidate.read("predictor.tflite")}
    manifest = bundles.manifest(1, network, tensors=DIGITS.tensors)
    manifest = manifest.model_copy(update={"novelty": rule})
    predictor = Predictor(manifest, network["predictor.tflite"], threads=1)
    images = holdout.inputs["image"]
    print(f"{rule.rows} rows calibrated the threshold {rule.threshold:.3f}\n")
    print("| pictures | flagged |\n|---|---|")
    print(f"| t10k, digits | {flagged(predictor, images):.2%} |")
    random = np.random.default_rng(5)
    for kind, draw in kinds(images).items():
        print(f"| {kind} | {flagged(predictor, draw(ROWS, random)):.1%} |", flush=True)
    plain, flagging = cost(predictor, images, []), cost(predictor, images, [UNLIKE_TRAINING])
    print(f"\na row alone: {plain:.1f} µs of CPU, {flagging:.1f} µs with the flag")


def kinds(
    digits: NDArray[np.uint8],
) -> dict[str, Callable[[int, np.random.Generator], NDArray[np.uint8]]]:
    """What is drawn, by name."""
    return {
        **drawings.DRAWINGS,
        "two digits": lambda n, random: drawings.pairs(digits, n, random),
        "letters in print that are shaped as digits": lambda n, random: drawings.font_letters(
            n, random, drawings.LIKE_DIGITS
        ),
        "drawn a, shaped as a 9": drawings.stroke_letters_like_digits,
        "digits drawn by the pen of the letters (false flags)": drawings.stroke_digits,
    }


def flagged(predictor: Predictor, images: NDArray[np.uint8]) -> float:
    """The share of images that serving flags."""
    answers = predictor.predict({"image": images}, ["probabilities", UNLIKE_TRAINING])
    ratios = answers.get(UNLIKE_TRAINING)
    return 0.0 if ratios is None else float((ratios > 1).mean())


def cost(predictor: Predictor, images: NDArray[np.uint8], more: list[str]) -> float:
    """Microseconds of CPU for a row by itself."""
    began = time.process_time()
    for place in range(SINGLE_ROWS):
        predictor.predict({"image": images[place : place + 1]}, ["probabilities", *more])
    return (time.process_time() - began) / SINGLE_ROWS * 1e6


if __name__ == "__main__":
    main()
