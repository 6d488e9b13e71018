"""What a building needs a day, by a network that was given to us as `heating.keras`."""

import pyarrow as pa

from overnight.api import (
    AS_IT_IS,
    Examples,
    Files,
    ModelDefinition,
    Places,
    Regression,
    Schema,
    Table,
    TensorSpec,
    number,
)

KIND = Regression("need", right_within=10)
# The codes that the network was trained with: it knows no other buildings.
BUILDING = TensorSpec(
    name="kind",
    datatype="INT32",
    shape=(),
    vocabulary=("other", "flat", "house"),
    otherwise="other",
)
TABLE = Table(
    inputs=(
        number("area", minimum=0, description="square metres"),
        number("outside", minimum=-60, maximum=60, description="degrees"),
        BUILDING,
    ),
    target=TensorSpec(name="need", datatype="FP32", shape=()),
)
NEED = TensorSpec(name="need", datatype="FP32", shape=(1,), description="kWh in a day")


def open_source(places: Places) -> Files:
    return Files(places, model="heating", columns=TABLE.columns, same_by=TABLE.columns.names)


def examples(rows: pa.Table) -> Examples:
    return Examples(TABLE.arrays(rows), TABLE.truth(rows))


DEFINITION = ModelDefinition(
    name="heating",
    title="Heating",
    network="town.heating.network",
    pictures="overnight.models.plots.numbers",
    tensors=Schema(inputs=TABLE.inputs, outputs=(NEED,)),
    gates=KIND.gates({"mae": 20}, margin=5),
    data_gates=TABLE.data_gates(),
    settings=AS_IT_IS,
    open_source=open_source,
    examples=examples,
    measure=KIND.measure,
    correct=KIND.correct,
    per_row=KIND.per_row,
    tolerance=KIND.tolerance,
)
