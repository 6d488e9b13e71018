"""Declarations of tensors, and schemas in manifests of older releases."""

import pytest
from pydantic import ValidationError

from overnight.store.schema import Forecast, Schema, TensorSpec


def test_a_vocabulary_bounds_its_numbers_for_readers_that_know_only_bounds() -> None:
    spec = TensorSpec(name="shop", datatype="INT64", shape=(), vocabulary=("north", "south"))

    assert (spec.minimum, spec.maximum) == (0, 1)
    assert TensorSpec.model_validate_json(spec.model_dump_json()) == spec


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        ({"datatype": "FP32", "vocabulary": ("a",)}, "a vocabulary of 1 needs whole numbers"),
        ({"datatype": "INT8", "vocabulary": ("a", "b"), "maximum": 2}, "from 0 to 1"),
        ({"datatype": "INT8", "nullable": True}, "has no NaN"),
    ],
)
def test_a_declaration_that_the_datatype_cannot_hold_is_refused(
    declared: dict, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TensorSpec(name="x", shape=(), **declared)


def test_a_tensor_of_an_older_manifest_has_no_vocabulary_and_is_not_nullable() -> None:
    spec = TensorSpec.model_validate({"name": "x", "datatype": "FP32", "shape": [2]})

    assert (spec.vocabulary, spec.nullable, spec.minimum) == ((), False, None)


SHOP = TensorSpec(name="shop", datatype="INT32", shape=(), vocabulary=("other", "north"))
DAY = TensorSpec(name="day", datatype="INT32", shape=(), date=True)
LEAD = TensorSpec(name="lead", datatype="INT32", shape=())
SOLD = TensorSpec(name="sold", datatype="FP32", shape=(28,))
UNITS = TensorSpec(name="units", datatype="FP32", shape=(3,))
FORECAST = Forecast(history="sold", lead="lead", day="day", quantiles=(0.1, 0.5, 0.9))


@pytest.mark.parametrize(
    ("spec", "declared", "message"),
    [
        (SHOP, {"otherwise": "south"}, "'south' is not in its vocabulary"),
        (LEAD, {"otherwise": "x"}, "is not in"),
        (SHOP, {"date": True}, "dates need whole numbers"),
        (SOLD, {"date": True}, "dates need whole numbers"),
        (LEAD, {"datatype": "UINT8", "date": True}, "dates need whole numbers"),
    ],
)
def test_the_fallback_is_in_the_vocabulary_and_dates_are_whole_numbers(
    spec: TensorSpec, declared: dict, message: str
) -> None:
    with pytest.raises(ValidationError, match=message):
        TensorSpec.model_validate(spec.model_dump() | declared)


def test_tensors_with_a_vocabulary_or_dates_accept_text() -> None:
    assert [spec.accepts_text for spec in (SHOP, DAY, LEAD, SOLD)] == [True, True, False, False]


def test_a_forecast_names_its_tensors() -> None:
    schema = Schema(inputs=(SHOP, DAY, LEAD, SOLD), outputs=(UNITS,), forecast=FORECAST)

    assert Schema.model_validate_json(schema.model_dump_json()) == schema
    assert FORECAST.middle == 1


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"history": "units"}, "'units' has a value a day"),
        ({"history": "lead"}, "'lead' has a value a day"),
        ({"lead": "sold"}, "'sold' is a number of days"),
        ({"lead": "nothing"}, "'nothing' is a number of days"),
        ({"day": "lead"}, "'lead' is a date"),
        ({"quantiles": (0.1, 0.9)}, "have a middle"),
        ({"quantiles": (0.9, 0.5, 0.1)}, "rise between 0 and 1"),
        ({"quantiles": (0.0, 0.5, 1.0)}, "rise between 0 and 1"),
        ({"quantiles": (0.5,)}, "one number for each"),
    ],
)
def test_a_forecast_with_unsuitable_tensors_is_refused(changed: dict, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Schema(
            inputs=(SHOP, DAY, LEAD, SOLD),
            outputs=(UNITS,),
            forecast=FORECAST.model_copy(update=changed),
        )


def test_a_schema_of_an_older_manifest_has_no_forecast_and_no_fallback() -> None:
    message = {"inputs": [{"name": "x", "datatype": "FP32", "shape": [2]}], "outputs": []}

    schema = Schema.model_validate(message)

    assert schema.forecast is None
    assert (schema.inputs[0].otherwise, schema.inputs[0].date) == ("", False)
