"""A fit learns no row that validates it, and is done again when a file of it is damaged."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from overnight import models
from overnight.models.examples import Examples
from overnight.tasks.training.train import Candidate, train
from overnight.tasks.training.worker import split

DIGITS = models.find("digits")


@pytest.mark.parametrize(("rows", "share", "apart"), [(10, 0.3, 3), (7, 0.01, 1), (1, 0.5, 1)])
def test_no_row_is_both_learned_and_validated_on(rows: int, share: float, apart: int) -> None:
    settings = DIGITS.settings.model_copy(update={"validation_share": share})
    numbers = np.arange(rows)

    training, validation = split(Examples({"x": numbers}, numbers), settings)

    assert validation.n == apart
    assert sorted((*training.labels, *validation.labels)) == [*range(rows)]
    assert (training.inputs["x"] == training.labels).all()
    assert (validation.inputs["x"] == validation.labels).all()


def fitted(folder: Path) -> Candidate:
    rows = Examples({"image": np.zeros((20, 28, 28), np.uint8)}, np.arange(20) % 10)
    return train(
        replace(DIGITS, network="tests.support.networks.constant"),
        DIGITS.settings,
        fingerprint="0" * 64,
        training=rows,
        holdout=rows,
        folder=folder,
        seconds=60,
        report=lambda _progress: None,
    )


def test_a_finished_fit_is_used_again_while_its_files_are_whole(tmp_path: Path) -> None:
    first = fitted(tmp_path)
    again = fitted(tmp_path)
    whole = first.read("predictor.tflite")

    # When one of its files is damaged, at the same size.
    (tmp_path / "predictor.tflite").write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    remade = fitted(tmp_path)

    # Then the fit is done again, and only then.
    assert again.fitted == first.fitted
    assert remade.fitted.created_at > first.fitted.created_at
    assert remade.read("predictor.tflite") == whole
