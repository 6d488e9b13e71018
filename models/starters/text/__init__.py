"""Starter: one class of a few, from a text."""

import pyarrow as pa

from overnight.api import (
    Classification,
    Examples,
    Feedback,
    Files,
    ModelDefinition,
    Places,
    Table,
    TensorSpec,
    TrainingSettings,
    Watching,
    text,
)

KIND = Classification(("delivery", "payment", "quality"))
# Of each text the first 24 words count; which words are known is learned on each snapshot.
TABLE = Table(
    inputs=(text("message", length=24, description="what a customer wrote"),),
    target=TensorSpec(name="topic", datatype="INT32", shape=(), vocabulary=KIND.classes),
)
SCHEMA = KIND.schema(*TABLE.inputs)


def examples(rows: pa.Table) -> Examples:
    """The rows as texts and classes."""
    return Examples(TABLE.arrays(rows), TABLE.truth(rows))


def open_source(places: Places) -> Files:
    """Files of a folder, one arrival each, and `holdout.csv`; a message is one row."""
    return Files(places, model="starter", columns=TABLE.columns, same_by=TABLE.names)


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="overnight.models.starters.text.network",
    pictures="overnight.models.plots.classifier",
    tensors=SCHEMA,
    learned=TABLE.learned,
    gates=KIND.gates({"accuracy": 0.7, "f1": 0.7}, margin=0.1),
    settings=TrainingSettings(
        epochs=30,
        batch_rows=32,
        learning_rate=0.01,
        seed=1,
        validation_share=0.15,
        patience_epochs=8,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    data_gates=TABLE.data_gates(),
    watching=Watching(feedback=Feedback(rows=TABLE.rows)),
)
