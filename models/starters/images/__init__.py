"""Starter: one class of a few, from colour pictures in a folder for each class."""

import pyarrow as pa

from overnight.api import (
    Classification,
    Examples,
    Feedback,
    ModelDefinition,
    Picture,
    PictureFolders,
    Places,
    Table,
    TensorSpec,
    TrainingSettings,
    Watching,
)

KIND = Classification(("circle", "square", "cross"))
# Pictures of any size become 24 by 24 pixels: the middle of what is too wide or too high.
IMAGE = TensorSpec(
    name="image",
    datatype="UINT8",
    shape=(24, 24, 3),
    minimum=0,
    maximum=255,
    picture=Picture(resize="crop", background=(255, 255, 255)),
    description="a picture of one shape",
)
LABEL = TensorSpec(name="label", datatype="INT32", shape=(), vocabulary=KIND.classes)
TABLE = Table(inputs=(IMAGE,), target=LABEL)
SCHEMA = KIND.schema(IMAGE)


def examples(rows: pa.Table) -> Examples:
    """The rows as pictures, uint8 [n, 24, 24, 3], and classes."""
    return Examples(TABLE.arrays(rows), TABLE.truth(rows))


def open_source(places: Places) -> PictureFolders:
    """Folders of pictures, one arrival each, with a folder for each class; and `holdout`."""
    return PictureFolders(places, model="starter", image=IMAGE)


DEFINITION = ModelDefinition(
    name="starter",
    title="Starter",
    network="overnight.models.starters.images.network",
    pictures="overnight.models.plots.classifier",
    tensors=SCHEMA,
    gates=KIND.gates({"accuracy": 0.7}, margin=0.1),
    settings=TrainingSettings(
        epochs=25,
        batch_rows=32,
        learning_rate=0.003,
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
