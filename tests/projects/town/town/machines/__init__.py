"""Which machines fail: as many readings of each as there happen to be, from JSON lines in S3."""

import pyarrow as pa

from overnight.api import (
    Classification,
    Column,
    DataGates,
    Examples,
    Files,
    ModelDefinition,
    Places,
    TensorSpec,
    TrainingSettings,
    Vocabulary,
    category,
)

KIND = Classification(("runs", "fails"), positive="fails")
FAILED = TensorSpec(name="failed", datatype="INT32", shape=(), vocabulary=KIND.classes)
SITE = category("site", description="where the machine stands")
# Up to 48 readings; few are padded to 16, so that they cost no more than 16.
READINGS = TensorSpec(name="readings", datatype="FP32", shape=(48,), lengths=(16, 48))
INPUTS = (SITE, READINGS)
COLUMNS = pa.schema(
    [
        pa.field("machine", pa.string(), nullable=False),
        pa.field("site", pa.string(), nullable=False),
        pa.field("readings", pa.list_(pa.float32()), nullable=False),
        pa.field("failed", pa.int32(), nullable=False),
    ]
)


def open_source(places: Places) -> Files:
    """JSON lines below the prefix of the setting `sources.machines.url`."""
    return Files(
        places, model="machines", columns=COLUMNS, same_by=("machine",), holdout="holdout.jsonl"
    )


def examples(rows: pa.Table) -> Examples:
    return Examples(
        {spec.name: rows[spec.name].to_numpy() for spec in INPUTS}, rows["failed"].to_numpy()
    )


DEFINITION = ModelDefinition(
    name="machines",
    title="Machines that fail",
    network="town.machines.network",
    pictures="overnight.models.plots.classifier",
    tensors=KIND.schema(*INPUTS),
    learned={"site": Vocabulary(most=10)},
    gates=KIND.gates({"accuracy": 0.8}, margin=0.1),
    data_gates=DataGates(
        columns=(Column(FAILED), Column(SITE, categorical=True)), minimum_rows=100
    ),
    settings=TrainingSettings(
        epochs=40,
        batch_rows=32,
        learning_rate=0.02,
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
