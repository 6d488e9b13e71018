"""Claim: the default settings reach 99.5 % of t10k from the first arrival's digits, for each seed.

Each seed is trained and evaluated by the same steps as in a nightly run: the training process on
the first 50,000 images, then the holdout whole, by digit, and shifted by four pixels.

    python -m benchmarks.training.accuracy --seeds 1 2 3
"""

import argparse
import tempfile
from pathlib import Path

from overnight import models
from overnight.models.definition import Places
from overnight.models.examples import Examples
from overnight.models.metrics.evaluation import Evaluation
from overnight.tasks.evaluation.evaluate import evaluate
from overnight.tasks.training.train import Candidate, train

DIGITS = models.find("digits")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--folder", type=Path, help="MNIST's four IDX files (else fetched)")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3], help="default: 1 2 3")
    arguments = parser.parse_args()
    print("| seed | accuracy | worst digit | worst shift | calibration error | CPU s | s |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as place:
        source = DIGITS.open_source(Places(arguments.folder, Path(place) / "source"))
        delivery = source.deliver(())
        assert delivery is not None
        training = DIGITS.examples(source.read(delivery.files).rows)
        holdout = DIGITS.examples(source.holdout())
        for seed in arguments.seeds:
            print(row(seed, training, holdout, Path(place) / str(seed)), flush=True)


def row(seed: int, training: Examples, holdout: Examples, folder: Path) -> str:
    """Train one seed and format its result."""
    candidate = train(
        DIGITS,
        DIGITS.settings.model_copy(update={"seed": seed}),
        fingerprint=f"{seed:064x}",
        training=training,
        holdout=holdout,
        folder=folder,
        seconds=3_600,
        report=lambda _progress: None,
    )
    return _cells(seed, candidate, evaluate(DIGITS, candidate, None, holdout))


def _cells(seed: int, candidate: Candidate, evaluation: Evaluation) -> str:
    measured = {
        (measurement.metric, measurement.slice): measurement.value
        for measurement in evaluation.measurements
    }
    digit = min(value for (_, slice), value in measured.items() if slice.startswith("digit"))
    shift = min(value for (_, slice), value in measured.items() if slice.startswith("shifted"))
    fitted = candidate.fitted
    return (
        f"| {seed} | {measured['accuracy', '']:.2%} | {digit:.1%} | {shift:.2%} "
        f"| {measured['calibration_error', '']:.4f} | {fitted.cpu_seconds:.0f} "
        f"| {fitted.seconds:.0f} |"
    )


if __name__ == "__main__":
    main()
