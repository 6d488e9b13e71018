"""Starter: one class of a few, from a table with categories and gaps."""

import pyarrow as pa

from overnight.api import (
    Classification,
    Examples,
    Feedback,
    Files,
    MaximumGap,
    ModelDefinition,
    Places,
    Table,
    TensorSpec,
    TrainingSettings,
    Watching,
    category,
    number,
    slices_by,
)

# The columns of the rows: what clients send, what is predicted, and others.
KIND = Classification(("stays", "leaves"), positive="leaves")
TABLE = Table(
    inputs=(
        number("months", minimum=0, maximum=600, description="since the first contract"),
        number("fee", minimum=0, maximum=1_000, gaps=True, description="monthly, in euros"),
        number("calls", minimum=0, maximum=1_000, description="to the help line, this year"),
        category("plan"),
        category("region", gaps=True),
    ),
    target=TensorSpec(name="outcome", datatype="INT32", shape=(), vocabulary=KIND.classes),
    others={"customer": pa.string(), "age_group": pa.string()},
)
SCHEMA = KIND.schema(*TABLE.inputs)


def examples(rows: pa.Table) -> Examples:
    """The rows as inputs and classes; no group of ages may be served worse than others."""
    return Examples(TABLE.arrays(rows), TABLE.truth(rows), slices_by(rows, "age_group"))


def open_source(places: Places) -> Files:
    """Files of a folder, one arrival each, and `holdout.csv`; a customer is one row."""
    return Files(places, model="starter", columns=TABLE.columns, same_by=("customer",))


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="overnight.models.starters.classification.network",
    pictures="overnight.models.plots.classifier",
    tensors=SCHEMA,
    learned=TABLE.learned,
    gates=(
        *KIND.gates({"roc_auc": 0.7, "recall": 0.4}, margin=0.1, metric="roc_auc"),
        MaximumGap("accuracy", between="age_group", at_most=0.25),
    ),
    settings=TrainingSettings(
        epochs=40,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.15,
        patience_epochs=10,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    data_gates=TABLE.data_gates(),
    watching=Watching(feedback=Feedback(rows=TABLE.rows)),
)
