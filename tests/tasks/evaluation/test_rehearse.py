"""The rehearsal compares every output that serving answers with what training answered."""

from pathlib import Path

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import Changed
from overnight.serving.inference.loaded_version import check_golden
from overnight.serving.inference.runtime import Predictor
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.evaluation.published import answers
from overnight.tasks.evaluation.rehearse import rehearse
from tests.support.serving import bundles, forecasts

pytestmark = pytest.mark.servers


def test_each_output_is_compared_over_http_and_becomes_a_golden_example(tmp_path) -> None:
    # Given a network of which training is said to have answered five rows of seventy otherwise.
    files, requested = forecasts.files(), forecasts.rows(70)
    expected = forecasts.expected(requested)
    expected["units"][:3] += 1.5
    expected["known"][66:68, 0] ^= 1
    draft = forecasts.manifest(1, files)

    result = rehearse(
        draft,
        files,
        holdout=Examples(requested, np.zeros(70, np.float32)),
        expected=expected,
        folder=tmp_path,
        seconds=60,
        tolerance=Tolerance(absolute=1.0, relative=0.0),
    )

    # Then both are counted, each where it belongs, and the golden examples are what was answered.
    assert (result.rehearsal.n, result.rehearsal.changed_answers) == (70, 3)
    assert result.rehearsal.largest_difference == pytest.approx(1.5, abs=0.01)
    assert result.rehearsal.further == (Changed("known", 2, exact=True, largest_difference=1.0),)
    predictor = Predictor(draft, files["predictor.tflite"], threads=1)
    assert check_golden(predictor, result.golden).keys() == requested.keys()


def test_a_missing_value_of_the_holdout_is_rehearsed_as_null(tmp_path) -> None:
    # Given a network that answers 1 where the price is missing, and a holdout with gaps.
    network = Path(__file__).parents[2] / "goldens" / "gaps" / "predictor.tflite"
    files = {"predictor.tflite": network.read_bytes()}
    price = TensorSpec(name="price", datatype="FP32", shape=(), minimum=0, nullable=True)
    units = TensorSpec(name="units", datatype="FP32", shape=(1,))
    draft = bundles.manifest(1, files, tensors=Schema(inputs=(price,), outputs=(units,)))
    holdout = Examples(
        {"price": np.where(np.arange(90) % 5, np.arange(90), np.nan).astype(np.float32)},
        np.zeros(90, np.float32),
    )
    expected = answers(files["predictor.tflite"], holdout.inputs)
    assert expected["units"][5] == 1

    result = rehearse(draft, files, holdout=holdout, expected=expected, folder=tmp_path, seconds=60)

    # Then every row is answered as in training, and gaps are among the golden examples.
    assert (result.rehearsal.n, result.rehearsal.changed_answers) == (90, 0)
    predictor = Predictor(draft, files["predictor.tflite"], threads=1)
    assert np.isnan(check_golden(predictor, result.golden)["price"]).any()
