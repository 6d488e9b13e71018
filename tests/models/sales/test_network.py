"""The network forecasts in order, answers the unknown as other, and exports as it is."""

from collections.abc import Mapping

import numpy as np
import pytest

from overnight.models.definition import TrainingSettings
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.sales import DEFINITION, network, series
from overnight.models.sales.gates import newest_day_lost
from overnight.models.sales.metrics import mean_of_28_days
from overnight.models.sales.preprocessing import same_weekday_places
from overnight.models.sales.schema import LONGEST_LEAD, RECENT_DAYS, SHORTEST_LEAD, STORE
from overnight.models.training.export import SUFFICIENT_AGREEMENT
from overnight.tasks.training.worker import split
from tests.support.genuine_sales import day, rows, sold

pytestmark = [
    pytest.mark.training,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]
FEW = TrainingSettings(
    epochs=2, batch_rows=128, learning_rate=0.004, seed=3, validation_share=0.1, patience_epochs=2
)


@pytest.fixture(scope="module")
def examples() -> Examples:
    return series.training_examples(rows(sold("2017-01-01", "2017-05-31", stores=(367, 406))))


@pytest.fixture(scope="module")
def fitted(examples: Examples) -> network.Fitted:
    return network.fit(*split(examples, FEW), settings=FEW, report=lambda _: None)


@pytest.fixture(scope="module")
def exported(fitted: network.Fitted, examples: Examples) -> dict[str, bytes]:
    return network.export(fitted.network, examples.inputs)


def requested(fitted: network.Fitted, inputs: Mapping[str, Array], **changed: object) -> Outputs:
    given = {name: np.array(array) for name, array in inputs.items()}
    for name, value in changed.items():
        given[name][:] = value
    return network.predict(fitted.network, given)


def test_quantiles_are_in_order_and_never_below_nothing(
    fitted: network.Fitted, examples: Examples
) -> None:
    units = requested(fitted, examples.inputs)["units"]

    assert (np.diff(units, axis=1) >= 0).all()
    assert (units >= 0).all()


def test_two_epochs_learn_more_than_the_mean_of_28_days_knows(
    fitted: network.Fitted, examples: Examples
) -> None:
    units = requested(fitted, examples.inputs)["units"]

    missed = np.abs(examples.labels - units[:, 1]).sum()
    assert missed < np.abs(examples.labels - mean_of_28_days(examples)).sum()


def test_the_same_seed_gives_the_same_weights(fitted: network.Fitted, examples: Examples) -> None:
    again = network.fit(*split(examples, FEW), settings=FEW, report=lambda _: None)

    for first, second in zip(
        fitted.network.get_weights(), again.network.get_weights(), strict=True
    ):
        assert first.tobytes() == second.tobytes()


def test_unknown_categories_are_predicted_as_the_fallback_and_flagged(
    fitted: network.Fitted, examples: Examples
) -> None:
    known = requested(fitted, examples.inputs)
    unknown = requested(fitted, examples.inputs, store=0, department=0)

    codes = np.stack([examples.inputs["store"], examples.inputs["department"]], axis=1)
    assert np.array_equal(known["known"], codes > 0)
    assert unknown["known"].max() == 0
    errors = [
        np.abs(examples.labels - one["units"][:, 1]).sum() / examples.labels.sum()
        for one in (known, unknown)
    ]
    # Other was learned: it costs something, and not the forecast.
    assert errors[1] < 1.25 * errors[0]


def test_every_store_has_an_answer_of_its_own(fitted: network.Fitted, examples: Examples) -> None:
    one = {name: array[:1] for name, array in examples.inputs.items()}

    answers = {
        code: requested(fitted, one, store=code)["units"].tobytes()
        for code in (0, STORE.vocabulary.index("367"), STORE.vocabulary.index("406"))
    }

    assert len(set(answers.values())) == 3


def test_an_answer_does_not_depend_on_other_rows(
    fitted: network.Fitted, exported: dict[str, bytes], examples: Examples
) -> None:
    some = {name: array[:50] for name, array in examples.inputs.items()}
    together = network.run_predictor(exported["predictor.tflite"], some)["units"]

    alone = [
        network.run_predictor(
            exported["predictor.tflite"],
            {name: array[row : row + 1] for name, array in some.items()},
        )["units"][0]
        for row in range(50)
    ]

    assert np.allclose(np.stack(alone), together, atol=1e-4)


def test_nothing_is_sold_on_the_day_on_which_shops_are_closed(
    fitted: network.Fitted, examples: Examples
) -> None:
    assert requested(fitted, examples.inputs, day=day("2017-12-25"))["units"].max() == 0
    assert requested(fitted, examples.inputs, day=day("2017-12-26"))["units"].max() > 0


def test_the_exported_form_answers_as_the_network_does(
    fitted: network.Fitted, exported: dict[str, bytes], examples: Examples
) -> None:
    trained = requested(fitted, examples.inputs)

    served = network.run_predictor(exported["predictor.tflite"], examples.inputs)

    assert np.array_equal(served["known"], trained["known"])
    near = np.abs(served["units"] - trained["units"]) <= 0.05 + 0.02 * trained["units"]
    assert near.all(axis=1).mean() >= SUFFICIENT_AGREEMENT


def test_a_predictor_can_be_tried_with_zeros(exported: dict[str, bytes]) -> None:
    zeros = {
        spec.name: np.zeros((2, *spec.shape), "float32" if spec.shape else "int32")
        for spec in DEFINITION.tensors.inputs
    }

    assert np.isfinite(network.run_predictor(exported["predictor.tflite"], zeros)["units"]).all()


def test_a_saved_network_is_read_again_and_gone_on_from(
    fitted: network.Fitted, exported: dict[str, bytes], examples: Examples, tmp_path
) -> None:
    path = tmp_path / "network.keras"
    path.write_bytes(exported["network.keras"])

    read = network.predict(network.load(path), examples.inputs)
    warm = network.fit(
        *split(examples, FEW),
        settings=FEW.model_copy(update={"epochs": 1, "learning_rate": 1e-5}),
        report=lambda _: None,
        start=path,
    )

    assert np.array_equal(read["units"], requested(fitted, examples.inputs)["units"])
    assert warm.history[0]["validation_loss"] < fitted.history[0]["validation_loss"]


def test_without_examples_nothing_is_fitted(examples: Examples) -> None:
    none = Examples(
        inputs={name: array[:0] for name, array in examples.inputs.items()},
        labels=examples.labels[:0],
    )

    with pytest.raises(ValueError, match="bring more rows"):
        network.fit(none, none, settings=FEW, report=lambda _: None)


def test_the_same_weekdays_are_counted_back_from_the_forecast_day() -> None:
    places = same_weekday_places()

    for lead, row in zip(range(SHORTEST_LEAD, LONGEST_LEAD + 1), places, strict=True):
        back = lead + RECENT_DAYS - 1 - row
        assert (back % 7 == 0).all()
        assert row.min() >= 0
        assert row.max() < RECENT_DAYS
        assert RECENT_DAYS - 1 - row.max() < 7


def test_a_lost_day_changes_only_that_day(examples: Examples) -> None:
    lost = newest_day_lost(examples.inputs)

    assert (lost["recent"][:, -1] == 0).all()
    assert np.array_equal(lost["recent"][:, :-1], examples.inputs["recent"][:, :-1])
