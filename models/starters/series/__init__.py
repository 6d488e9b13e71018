"""Starter: a forecast of daily series with an interval, from the days before."""

from overnight.api import (
    DailySeries,
    DataGates,
    Files,
    ModelDefinition,
    Places,
    TrainingSettings,
    Vocabulary,
    category,
)

# Forecast up to a week ahead, from four weeks; the newest four weeks judge.
KIND = DailySeries(series="shop", value="units", same_within=0.5)
SCHEMA = KIND.schema(category("shop"))


def open_source(places: Places) -> Files:
    """Files of a folder, one arrival each; a shop has one row a day."""
    columns, same_by = KIND.columns, ("shop", "day")
    return Files(places, model="starter", columns=columns, same_by=same_by, holdout=None)


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="overnight.models.starters.series.network",
    pictures="overnight.models.plots.daily_series",
    tensors=SCHEMA,
    learned={"shop": Vocabulary(most=100)},
    gates=KIND.gates({"wape": 0.4}, at_least={"interval_coverage": 0.5}, margin=0.05),
    settings=TrainingSettings(
        epochs=40,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.15,
        patience_epochs=10,
    ),
    open_source=open_source,
    examples=KIND.examples,
    arrival_examples=KIND.later_examples,
    moving_holdout=KIND.moving_holdout,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    data_gates=DataGates(minimum_rows=100, class_rows=0),
    tolerance=KIND.tolerance,
)
