"""What customers write about: a text, and how it came in."""

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
    text,
)

KIND = Classification(("delivery", "billing", "defect"))
TABLE = Table(
    inputs=(
        text("text", length=16, description="what the customer wrote"),
        category("channel", description="how it came in"),
    ),
    target=TensorSpec(name="topic", datatype="INT32", shape=(), vocabulary=KIND.classes),
)


def open_source(places: Places) -> Files:
    return Files(places, model="tickets", columns=TABLE.columns, same_by=("text",))


def examples(rows: pa.Table) -> Examples:
    return Examples(TABLE.arrays(rows), TABLE.truth(rows))


DEFINITION = ModelDefinition(
    name="tickets",
    title="Topics of tickets",
    network="town.tickets.network",
    pictures="overnight.models.plots.classifier",
    tensors=KIND.schema(*TABLE.inputs),
    learned=TABLE.learned,
    gates=KIND.gates({"accuracy": 0.8}, margin=0.1),
    data_gates=TABLE.data_gates(),
    settings=TrainingSettings(
        epochs=25,
        batch_rows=32,
        learning_rate=0.02,
        seed=1,
        validation_share=0.2,
        patience_epochs=5,
    ),
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
)
