"""Calibrates, after a fit, when a row counts as unlike the training rows."""

import numpy as np
from ai_edge_litert.interpreter import Interpreter
from numpy.typing import NDArray

from overnight.models.examples import Examples
from overnight.models.novelty import Novelty, threshold
from overnight.store.novelty import SCORE_OUTPUT, NoveltyRule

# The predictor plans memory for so many rows.
_ROWS = 256


def novelty_rule(
    novelty: Novelty, predictor: bytes, training: Examples, held_out: Examples
) -> NoveltyRule:
    """The rule of a version, from what was exported: its ranges, and the threshold of its score.

    `held_out` are rows that nothing was learned from, and that no gate judges on. A predictor
    without a score has no threshold.
    """
    scores = _scores(predictor, held_out)
    ranges = {} if training.tensors is None else novelty.ranges(training.tensors, training.inputs)
    return NoveltyRule(
        false_flags=novelty.false_flags,
        rows=len(scores),
        threshold=threshold(scores, novelty.false_flags),
        ranges=ranges,
    )


def _scores(predictor: bytes, rows: Examples) -> NDArray[np.float32]:
    """The scores of rows as the exported predictor gives them, [n]: those that serving compares."""
    runner = Interpreter(model_content=predictor, num_threads=1).get_signature_runner()
    if SCORE_OUTPUT not in runner.get_output_details():
        return np.zeros(0, np.float32)
    names = list(runner.get_input_details())
    parts = [
        runner(**{name: rows.inputs[name][start : start + _ROWS] for name in names})[SCORE_OUTPUT]
        for start in range(0, rows.n, _ROWS)
    ]
    return np.concatenate([np.zeros(0, np.float32), *(part.reshape(-1) for part in parts)])
