"""Starter: one number, from a table with categories and gaps."""

import pyarrow as pa

from overnight.api import (
    Examples,
    Feedback,
    Files,
    ModelDefinition,
    Places,
    Regression,
    Table,
    TensorSpec,
    TrainingSettings,
    Watching,
    category,
    number,
    slices_by,
)

# The number, and the error of it that is of no consequence.
KIND = Regression("rent", right_within=50, minimum=0, description="monthly, in euros")
# The columns of the rows: what clients send, what is predicted, and others.
TABLE = Table(
    inputs=(
        number("area", minimum=5, maximum=1_000, description="square metres"),
        number("rooms", minimum=1, maximum=30),
        number("built", minimum=1_500, maximum=2_100, gaps=True, description="year"),
        category("district"),
        category("heating", gaps=True),
    ),
    target=TensorSpec(name="rent", datatype="FP32", shape=(), minimum=0, maximum=100_000),
    others={"flat": pa.string()},
)
SCHEMA = KIND.schema(*TABLE.inputs)


def examples(rows: pa.Table) -> Examples:
    """The rows as inputs and numbers, with small and large flats as slices."""
    slices = slices_by(rows, "area", borders=(50, 90))
    return Examples(TABLE.arrays(rows), TABLE.truth(rows), slices)


def open_source(places: Places) -> Files:
    """Files of a folder, one arrival each, and `holdout.csv`; a flat is one row."""
    return Files(places, model="starter", columns=TABLE.columns, same_by=("flat",))


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="overnight.models.starters.regression.network",
    pictures="overnight.models.plots.numbers",
    tensors=SCHEMA,
    learned=TABLE.learned,
    gates=KIND.gates({"mae": 150}, at_least={"r2": 0.6}, margin=30),
    settings=TrainingSettings(
        epochs=60,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.15,
        patience_epochs=15,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    data_gates=TABLE.data_gates(),
    watching=Watching(feedback=Feedback(rows=TABLE.rows)),
    tolerance=KIND.tolerance,
)
