"""Which customers leave: numbers with gaps, a tariff, and several customers to a household."""

import pyarrow as pa

from overnight.api import (
    Classification,
    Examples,
    Files,
    ModelDefinition,
    Places,
    Table,
    TensorSpec,
    TrainingSettings,
    category,
    number,
)

KIND = Classification(("stays", "leaves"), positive="leaves")
TABLE = Table(
    inputs=(
        category("tariff", description="the name of the tariff"),
        # Who never gave an age leaves less often: a gap is an input of its own.
        number("age", minimum=0, maximum=120, gaps=True),
        number("use", minimum=0, gaps=True, description="kWh in a month"),
        number("complaints", minimum=0, description="in the last year"),
    ),
    target=TensorSpec(name="left", datatype="INT32", shape=(), vocabulary=KIND.classes),
    others={"customer": pa.string(), "household": pa.string()},
)


def open_source(places: Places) -> Files:
    return Files(places, model="churn", columns=TABLE.columns, same_by=("customer",))


def examples(rows: pa.Table) -> Examples:
    """A household is never on both sides of the validation split."""
    households = rows["household"].to_numpy()
    return Examples(TABLE.arrays(rows), TABLE.truth(rows), groups=households)


DEFINITION = ModelDefinition(
    name="churn",
    title="Customers who leave",
    network="town.churn.network",
    pictures="overnight.models.plots.classifier",
    tensors=KIND.schema(*TABLE.inputs),
    learned=TABLE.learned,
    gates=KIND.gates({"accuracy": 0.75}, margin=0.1),
    data_gates=TABLE.data_gates(),
    settings=TrainingSettings(
        epochs=30,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.2,
        patience_epochs=8,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
)
