"""What a photograph shows, and how large it is: two answers of one network."""

import pyarrow as pa

from overnight.api import (
    AtLeast,
    AtMost,
    Classification,
    Examples,
    Files,
    MaximumRegression,
    Measurement,
    ModelDefinition,
    Outputs,
    Places,
    Regression,
    RowMetric,
    SamePredictions,
    Schema,
    Table,
    TensorSpec,
    TrainingSettings,
    WithinBudget,
    slices_by,
)

KIND = Classification(("shirt", "skirt"), output="kind")
SIZE = Regression("size", right_within=2, minimum=0, description="its height in pixels")
TABLE = Table(
    inputs=(TensorSpec(name="photo", datatype="UINT8", shape=(24, 24, 3)),),
    target=TensorSpec(name="kind", datatype="INT32", shape=(), vocabulary=KIND.classes),
    others={"camera": pa.string(), "size": pa.float32()},
)


def open_source(places: Places) -> Files:
    return Files(
        places,
        model="garments",
        columns=TABLE.columns,
        same_by=("photo",),
        holdout="holdout.parquet",
    )


def examples(rows: pa.Table) -> Examples:
    """Pixels, uint8 [n, 24, 24, 3], the truth of both answers, and a slice for each camera."""
    truth = {"kind": TABLE.truth(rows), "size": rows["size"].to_numpy()}
    return Examples(TABLE.arrays(rows), truth, slices_by(rows, "camera"))


def measure(holdout: Examples, outputs: Outputs) -> tuple[Measurement, ...]:
    return KIND.measure(holdout, outputs) + SIZE.measure(holdout, outputs)


def per_row(holdout: Examples, outputs: Outputs) -> tuple[RowMetric, ...]:
    return KIND.per_row(holdout, outputs) + SIZE.per_row(holdout, outputs)


DEFINITION = ModelDefinition(
    name="garments",
    title="Garments",
    network="town.garments.network",
    pictures="overnight.models.plots.classifier",
    tensors=Schema(
        inputs=TABLE.inputs,
        outputs=(*KIND.schema().outputs, *SIZE.schema().outputs),
        labels=KIND.classes,
    ),
    gates=(
        AtLeast("accuracy", 0.9),
        AtMost("mae", 2),
        MaximumRegression(0.1),
        MaximumRegression(1, metric="mae"),
        SamePredictions(tolerance=0.25, changed_share=0.01),
        WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
    ),
    data_gates=TABLE.data_gates(),
    settings=TrainingSettings(
        epochs=20,
        batch_rows=32,
        learning_rate=0.003,
        seed=1,
        validation_share=0.2,
        patience_epochs=6,
    ),
    open_source=open_source,
    examples=examples,
    measure=measure,
    correct=KIND.correct,
    per_row=per_row,
    tolerance={"size": SIZE.tolerance},
)
