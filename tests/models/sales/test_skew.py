"""Sales asked over HTTP as an application asks: every row of the holdout as training answers it.

Encoders fitted anew on each request, columns of the very day, categories that nobody knows: what
serving applications of forecasts get wrong, asked of a trained network.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pytest

from overnight.models.examples import Examples
from overnight.models.sales import DEFINITION, network
from overnight.models.sales.schema import DEPARTMENT, OTHER, STORE, TENSORS
from overnight.models.sales.series import HELD_DAYS, holdout_examples, training_examples
from tests.support.serving import bundles
from tests.support.serving.forecasts import answered, spelled
from tests.support.serving.server_process import Serving, run_serving
from tests.support.waiting import until

pytestmark = [
    pytest.mark.servers,
    pytest.mark.training,
    pytest.mark.timeout(240),
    # Keras 3.15 hands variables to numpy 2 the old way while a network is exported.
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
INFER = "/v2/models/sales/infer"
# 1 June 2017, and enough days to learn from before those that judge.
FIRST, DAYS = 17_318, 130
NOWHERE = 999_999
PAIRS = [(store, name) for store in (367, 406, 32004, NOWHERE) for name in ("GROCERY", "MEAT")]


@dataclass(frozen=True)
class Trained:
    """A network that learned a little, as it is exported, and the rows that judge it."""

    network: object
    files: dict[str, bytes]
    holdout: Examples

    def answers(self) -> dict[str, np.ndarray]:
        return network.run_predictor(self.files["predictor.tflite"], self.holdout.inputs)


def sold() -> pa.Table:
    """What each department of a few stores sold on each day: weekly waves, and one nobody knows."""
    days = np.arange(FIRST, FIRST + DAYS)
    random = np.random.default_rng(7)
    parts = []
    for place, (store, department) in enumerate(PAIRS):
        level = 20 + 15 * place
        units = level + level / 3 * np.sin(days * 2 * np.pi / 7) + random.normal(0, 2, DAYS)
        parts.append(
            pa.table(
                {
                    "store": pa.array([store] * DAYS, pa.int32()),
                    "department": pa.array([department] * DAYS, pa.string()),
                    "day": pa.array(days, pa.int32()),
                    "units": pa.array(np.round(units), pa.float64()),
                }
            )
        )
    return pa.concat_tables(parts)


@pytest.fixture(scope="module")
def trained() -> Trained:
    rows = sold()
    held = np.asarray(rows["day"]) >= FIRST + DAYS - HELD_DAYS
    before = rows.filter(pa.array(~held))
    examples, holdout = (
        training_examples(before),
        holdout_examples(before, rows.filter(pa.array(held))),
    )
    fitted = network.fit(
        examples,
        holdout,
        settings=DEFINITION.settings.model_copy(update={"epochs": 2}),
        report=lambda _progress: None,
    )
    files = network.export(fitted.network, examples.inputs)
    return Trained(fitted.network, files, holdout)


@pytest.fixture(scope="module")
def serving(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serving]:
    place = tmp_path_factory.mktemp("sales")
    bundle = {name: trained.files[name] for name in ("predictor.tflite", "network.keras")}
    folder = bundles.folder(place / "bundle", 1, bundle)
    made = bundles.manifest(1, bundle, tensors=TENSORS).model_copy(update={"model": "sales"})
    (folder / "manifest.json").write_bytes(made.encoded())
    with run_serving("--rehearse", str(folder), place=place) as found:
        until(found.is_ready, what="serving ready")
        yield found


def requested(inputs: dict[str, np.ndarray]) -> dict[str, object]:
    """Rows as an application would ask them, in words and dates; 0 is a word that nobody knows."""
    tensors = []
    for spec in TENSORS.inputs:
        values = inputs[spec.name]
        tensor = {"name": spec.name, "shape": list(values.shape), "datatype": spec.datatype}
        if spec.accepts_text:
            texts = [spelled(spec, one) for one in values]
            texts = ["no such place" if text == OTHER else text for text in texts]
            tensor |= {"datatype": "BYTES", "data": texts}
        else:
            tensor |= {"data": values.ravel().tolist()}
        tensors.append(tensor)
    return {"inputs": tensors, "outputs": [{"name": one.name} for one in TENSORS.outputs]}


def ask(serving: Serving, body: object, path: str = INFER) -> dict:
    status, _, answer = serving.request("POST", path, body)
    assert status == 200, answer
    assert isinstance(answer, dict)
    return answer


def test_every_row_of_the_holdout_is_answered_as_training_answers_it(serving, trained):
    rows = trained.holdout
    found = answered(ask(serving, requested(rows.inputs)))

    exported, own = trained.answers(), network.predict(trained.network, rows.inputs)
    assert rows.n == 28 * len(PAIRS)
    np.testing.assert_allclose(found["units"], exported["units"], rtol=1e-5, atol=1e-4)
    np.testing.assert_allclose(found["units"], own["units"], rtol=0.02, atol=0.05)
    np.testing.assert_array_equal(found["known"], own["known"])


def test_a_row_alone_is_answered_as_it_is_among_others_in_any_order(serving, trained):
    inputs = trained.holdout.inputs
    together = answered(ask(serving, requested(inputs)))["units"]
    order = np.random.default_rng(1).permutation(trained.holdout.n)

    shuffled = {name: values[order] for name, values in inputs.items()}
    moved = answered(ask(serving, requested(shuffled)))["units"]

    np.testing.assert_allclose(moved, together[order], rtol=1e-5, atol=1e-4)
    for row in (0, 99):
        single = {name: values[row : row + 1] for name, values in inputs.items()}
        found = answered(ask(serving, requested(single)))["units"]
        np.testing.assert_allclose(found, together[row : row + 1], rtol=1e-5, atol=1e-4)


def test_each_store_and_department_is_answered_by_its_own_number(serving, trained):
    row = {name: values[:1] for name, values in trained.holdout.inputs.items()}
    for spec in (STORE, DEPARTMENT):
        n = len(spec.vocabulary)
        repeated = {name: np.repeat(values, n, axis=0) for name, values in row.items()}
        repeated[spec.name] = np.arange(n, dtype=np.int32)

        body = requested(repeated)
        found = answered(ask(serving, body))

        expected = network.run_predictor(trained.files["predictor.tflite"], repeated)
        np.testing.assert_allclose(found["units"], expected["units"], rtol=1e-5, atol=1e-4)
        assert len(np.unique(found["units"][:, 1])) > n / 2
        # The first is no word of the vocabulary.
        known = found["known"][:, 0 if spec is STORE else 1]
        assert known.tolist() == [0, *[1] * (n - 1)]


def test_an_unknown_category_is_predicted_as_the_fallback_and_counted(serving, trained):
    places = np.flatnonzero(trained.holdout.inputs["store"] == 0)
    assert len(places) == 28 * 2
    row = {name: values[places[:1]] for name, values in trained.holdout.inputs.items()}

    answer = ask(serving, requested(row))

    expected = network.run_predictor(trained.files["predictor.tflite"], row)
    found = answered(answer)
    np.testing.assert_allclose(found["units"], expected["units"], rtol=1e-5, atol=1e-4)
    assert found["known"].tolist() == [[0, 1]]
    assert answer["parameters"]["out_of_vocabulary_count"] == 1


@pytest.mark.parametrize("leak", ["units", "units_that_day", "basket"])
def test_a_column_of_the_very_day_is_refused_by_its_name(serving, trained, leak):
    row = {name: values[:1] for name, values in trained.holdout.inputs.items()}
    body = requested(row)
    column = {"name": leak, "shape": [1], "datatype": "FP32", "data": [31.0]}

    status, _, answer = serving.request("POST", INFER, body | {"inputs": [*body["inputs"], column]})

    assert status == 400
    assert f"'{leak}', which the model does not take" in str(answer)


def test_a_day_out_of_range_is_reported_as_a_date(serving, trained):
    row = {name: values[:1] for name, values in trained.holdout.inputs.items()}
    body = requested(row | {"day": np.array([40_000])})

    status, _, answer = serving.request("POST", INFER, body)

    assert status == 400
    assert "expected a day from 2016-01-01 to" in str(answer)
    assert "found 2079-07-08" in str(answer)
