"""Earlier versions are compared on examples that none has learned, for each kind of model."""

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pyarrow as pa
import pytest

import tests.support.small_models.sales
import tests.support.small_models.strokes
from overnight.models.definition import ModelDefinition, Places
from overnight.models.examples import Examples, Outputs
from overnight.models.sales import DEFINITION as SALES
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.evaluation.evaluate import compare_on_rows
from overnight.tasks.evaluation.reinstate import unseen_examples
from tests.support.genuine_sales import STORES, arriving, day, rows
from tests.support.small_models.generated_rows import GENERATORS

AT = datetime(2026, 11, 22, tzinfo=UTC)
STARTERS = {
    "strokes": tests.support.small_models.strokes.DEFINITION,
    "sales": tests.support.small_models.sales.DEFINITION,
}
FEW = STORES[:2]


def made(judged_from: str | None = None) -> DataLineage:
    return DataLineage(
        dataset_version=1,
        digest="0" * 64,
        rows=1,
        arrivals=1,
        holdout_digest="1" * 64,
        holdout_rows=1,
        judged_from=judged_from,
    )


def stamped(**arrivals: pa.Table) -> pa.Table:
    """Rows with the arrivals that brought them, one after the other."""
    parts = []
    for name, table in arrivals.items():
        stamped_at = pa.array([AT] * table.num_rows, pa.timestamp("us", "UTC"))
        parts.append(
            table.append_column("arrival", pa.array([name] * table.num_rows, pa.string()))
            .append_column("arrived_at", stamped_at)
            .append_column("arrival_row", pa.array(range(table.num_rows), pa.int64()))
        )
    return pa.concat_tables(parts)


@pytest.fixture(scope="module")
def shops() -> pa.Table:
    """Five months at once, and two nights of their own."""
    return stamped(
        history=rows(arriving("2017-01-01", "2017-05-31", stores=FEW)),
        first=rows(arriving("2017-06-01", "2017-06-01", stores=FEW)),
        second=rows(arriving("2017-06-02", "2017-06-02", stores=FEW)),
    )


@pytest.fixture(scope="module")
def tonight(shops: pa.Table) -> Examples:
    """What neither last night's champion nor the version before it has learned."""
    made_of = [made("2017-05-02"), made("2017-05-01")]
    result = unseen_examples(SALES, shops, lineages=made_of, known_arrivals={"history", "first"})
    assert result is not None
    return result


def test_a_forecast_is_compared_on_the_days_that_all_versions_held_out(tonight: Examples) -> None:
    requested = np.unique(tonight.inputs["day"])

    # The last three are not final; the day before the first, the newest of them has learned.
    assert (requested[0], requested[-1]) == (day("2017-05-02"), day("2017-05-30"))
    assert len(requested) == 29
    assert tonight.inputs["recent"].sum() > 0


def test_a_version_without_a_held_out_window_leaves_no_examples(shops: pa.Table) -> None:
    assert (
        unseen_examples(SALES, shops, lineages=[made("2017-05-01"), made()], known_arrivals=())
        is None
    )


def answered(examples: Examples, off: float) -> Outputs:
    middle = np.maximum(examples.labels, 0) + off
    return {"units": np.stack([middle - 1, middle, middle + 1], axis=1).astype(np.float32)}


@pytest.mark.parametrize(
    ("earlier", "champion", "days", "returns"),
    [(0.1, 1.0, 29, True), (1.0, 1.0, 29, False), (1.0, 0.1, 29, False), (0.1, 1.0, 20, False)],
    ids=["better", "equal", "worse", "too few days"],
)
def test_an_earlier_forecast_is_reinstated_if_better_on_enough_days(
    tonight: Examples, earlier: float, champion: float, days: int, returns: bool
) -> None:
    chosen = tonight.inputs["day"] < day("2017-05-02") + days
    requested = tonight.take(chosen)
    evaluation = compare_on_rows(
        SALES, requested, answered(requested, earlier), answered(requested, champion), champion="c"
    )

    assert SALES.reinstatement is not None
    (finding,) = SALES.reinstatement.findings(evaluation)

    assert (finding.passed, finding.applicable) == (returns, True), finding.message


@pytest.mark.parametrize("like", sorted(STARTERS))
def test_a_starter_is_compared_on_the_arrivals_since(like: str, tmp_path) -> None:
    definition, nights = STARTERS[like], came(STARTERS[like], like, tmp_path)

    result = unseen_examples(definition, nights, lineages=[made()], known_arrivals={"old"})

    assert result is not None
    assert result.n == 60
    assert set(result.inputs) == {spec.name for spec in definition.tensors.inputs}
    assert (
        unseen_examples(definition, nights, lineages=[made()], known_arrivals={"old", "new"})
        is None
    )


def test_inputs_made_of_earlier_rows_get_these_rows(tmp_path) -> None:
    plain = STARTERS["sales"]
    given = []

    def arrived(before: pa.Table, fresh: pa.Table) -> Examples:
        given.append((before.num_rows, fresh.num_rows, "arrival" in before.column_names))
        return plain.examples(fresh)

    definition = replace(plain, arrival_examples=arrived)
    result = unseen_examples(
        definition, came(plain, "sales", tmp_path), lineages=[made()], known_arrivals={"old"}
    )

    assert result is not None
    assert given == [(40, 60, False)]


def came(definition: ModelDefinition, like: str, folder) -> pa.Table:
    """Forty rows of an old arrival and sixty of a new one, as `overnight new` makes them up."""
    source = definition.open_source(Places(folder=folder, cache=folder))
    old, new = (
        source.read({"rows.csv": GENERATORS[like](n, seed=seed).encode()}).rows
        for n, seed in ((40, 2), (60, 3))
    )
    return stamped(old=old, new=new)
