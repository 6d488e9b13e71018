"""Categories and gaps of inputs drift like any other statistic, and are named."""

from overnight.models.data_gates.drift import ColumnSample, SameShares
from overnight.store.encoding.arrays import objects
from overnight.store.input_encodings import Missing
from overnight.store.schema import Schema, TensorSpec
from overnight.tasks.evaluation.categories_of_inputs import input_categories

TOWN = TensorSpec(
    name="town",
    datatype="INT32",
    shape=(),
    vocabulary=("other", "Ulm"),
    otherwise="other",
    missing=Missing(value="other"),
)
OUT = TensorSpec(name="y", datatype="FP32", shape=(1,))
SCHEMA = Schema(inputs=(TOWN,), outputs=(OUT,))


def sample(*towns: str | int | None) -> ColumnSample:
    array = objects(towns, len(towns))
    return ColumnSample(len(towns), dict(input_categories({"town": array}, SCHEMA)))


def test_names_and_numbers_are_the_same_category_and_gaps_are_one_of_their_own() -> None:
    categories = sample("Ulm", 1, 0, "Aalen", None).categories

    assert categories["town"].tolist() == ["Ulm", "Ulm", "other", "Aalen", "(missing)"]
    assert categories["town is missing"].tolist() == [0, 0, 0, 0, 1]


def test_a_new_category_and_more_gaps_are_drift_and_the_category_is_named() -> None:
    learned = sample(*["Ulm"] * 90, *[None] * 10)
    arrived = sample(*["Aalen"] * 60, *[None] * 40)

    town = SameShares("town", bound=0.1).finding("a", arrived, learned)
    gaps = SameShares("town is missing", bound=0.1).finding("a", arrived, learned)

    assert (town.passed, gaps.passed) == (False, False)
    assert "largest change is Ulm, from 90.0% to 0.0%" in town.message
    assert "largest change is 0, from 90.0% to 60.0%" in gaps.message
    assert SameShares("town", bound=0.1).finding("a", learned, learned).passed
