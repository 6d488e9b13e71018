"""A model whose inputs are of every kind, with what it learns of them, and rows for it."""

import numpy as np
import pyarrow as pa

from overnight.api import (
    AtLeast,
    Examples,
    MeanAndDeviation,
    Missing,
    ModelDefinition,
    Schema,
    TensorSpec,
    TextEncoding,
    Tolerance,
    TrainingSettings,
    Vocabulary,
    WordPieces,
)
from overnight.store.encoding.arrays import objects
from tests.support.letters_source import Letters

TOLERANCE = Tolerance(absolute=0.01, relative=0.01)
TENSORS = Schema(
    inputs=(
        TensorSpec(
            name="note",
            datatype="BYTES",
            shape=(),
            text=TextEncoding(tokenizer="wordpiece", length=6, lower_case=True),
            missing=Missing(value="", flag=True),
        ),
        TensorSpec(name="town", datatype="INT32", shape=(), missing=Missing()),
        TensorSpec(name="day", datatype="INT32", shape=(), date=True),
        TensorSpec(name="age", datatype="FP32", shape=(), missing=Missing(flag=True)),
        TensorSpec(name="steps", datatype="FP32", shape=(5,), lengths=(2, 5), padding=-1),
    ),
    outputs=(TensorSpec(name="price", datatype="FP32", shape=(1,)),),
)


def rows(n: int, *, seed: int = 1, towns: tuple[str, ...] = ("Ulm", "Aalen", "Gera")) -> pa.Table:
    """Rows with gaps in every column that may have some, in an order fixed by the seed."""
    random = np.random.default_rng(seed)
    notes = ["Tea, please!", "no tea", "Café 北京", "", None, "please no \u200bjam"]
    sent = [random.uniform(0, 1, random.integers(0, 6)).tolist() for _ in range(n)]
    return pa.table({
        "note": pa.array([notes[k] for k in random.integers(0, len(notes), n)], pa.string()),
        "town": pa.array([(*towns, None)[k] for k in random.integers(0, len(towns) + 1, n)]),
        "day": pa.array([f"2026-{k:02}-03" for k in random.integers(1, 13, n)]),
        "age": pa.array([None if k == 0 else k + 0.5 for k in random.integers(0, 9, n)]),
        "steps": pa.array(sent, pa.list_(pa.float32())),
        "price": pa.array([float(sum(row)) for row in sent], pa.float32()),
    })  # fmt: skip


def examples(table: pa.Table) -> Examples:
    """Published values: texts, names, ISO dates, numbers with gaps, and lists."""
    inputs = {
        name: objects(table.column(name).to_pylist(), table.num_rows)
        for name in ("note", "town", "day", "steps")
    }
    age = table.column("age").to_numpy(zero_copy_only=False).astype(np.float32)
    return Examples({**inputs, "age": age}, table.column("price").to_numpy())


DEFINITION = ModelDefinition(
    name="orders",
    title="Orders",
    network="tests.support.networks.orders",
    pictures="tests.support.networks.orders",
    tensors=TENSORS,
    gates=(AtLeast("accuracy", 0),),
    settings=TrainingSettings(
        epochs=1,
        batch_rows=32,
        learning_rate=0.01,
        seed=3,
        validation_share=0.2,
        patience_epochs=1,
    ),
    open_source=lambda _: Letters({}),
    examples=examples,
    measure=lambda _holdout, _outputs: (),
    correct=lambda holdout, outputs: np.abs(holdout.labels - outputs["price"][:, 0]) < 1,
    tolerance=TOLERANCE,
    learned={
        "note": WordPieces(size=60),
        "town": Vocabulary(),
        "age": MeanAndDeviation(),
        "steps": MeanAndDeviation(),
    },
)
