"""Rents of flats, from a table in PostgreSQL."""

import pyarrow as pa

from overnight.api import (
    Examples,
    ModelDefinition,
    Places,
    Regression,
    Sql,
    Table,
    TensorSpec,
    TrainingSettings,
    category,
    number,
)

KIND = Regression("rent", right_within=150, minimum=0, description="the rent of a month")
TABLE = Table(
    inputs=(
        number("area", minimum=0, description="square metres"),
        number("rooms", minimum=1, maximum=20),
        category("district"),
    ),
    target=TensorSpec(name="rent", datatype="FP32", shape=(), minimum=0),
    others={"id": pa.int64()},
)


def open_source(places: Places) -> Sql:
    """Address and password are the settings `sources.flats.url` and `sources.flats.password`."""
    return Sql(
        places,
        model="flats",
        query="SELECT * FROM flats WHERE NOT judges",
        holdout="SELECT * FROM flats WHERE judges",
        watermark="id",
        columns=TABLE.columns,
        same_by=("id",),
    )


def examples(rows: pa.Table) -> Examples:
    return Examples(TABLE.arrays(rows), TABLE.truth(rows))


DEFINITION = ModelDefinition(
    name="flats",
    title="Rents",
    network="town.flats.network",
    pictures="overnight.models.plots.numbers",
    tensors=KIND.schema(*TABLE.inputs),
    learned=TABLE.learned,
    gates=KIND.gates({"mae": 150}, margin=40),
    data_gates=TABLE.data_gates(),
    settings=TrainingSettings(
        epochs=60,
        batch_rows=32,
        learning_rate=0.02,
        seed=1,
        validation_share=0.2,
        patience_epochs=15,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    tolerance=KIND.tolerance,
)
