"""The published signature, and the conversion of rows to examples."""

import numpy as np
import pyarrow as pa

from overnight.models.examples import Examples
from overnight.models.metrics.equivalence import Tolerance
from overnight.store.schema import Schema, TensorSpec

# The first entry stands for every store that is not listed.
STORES = ("other", "north", "south", "east")
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")
MOST = 100_000
# In pieces: a number further from the network's own counts as another forecast.
TOLERANCE = Tolerance(absolute=0.5, relative=0.02)
STORE = TensorSpec(name="store", datatype="INT32", shape=(), vocabulary=STORES, otherwise=STORES[0])
WEEKDAY = TensorSpec(name="weekday", datatype="INT32", shape=(), vocabulary=WEEKDAYS)
YESTERDAY, WEEK_AGO = (
    TensorSpec(name=name, datatype="FP32", shape=(), minimum=0, maximum=MOST)
    for name in ("yesterday", "week_ago")
)
TENSORS = Schema(
    inputs=(STORE, WEEKDAY, YESTERDAY, WEEK_AGO),
    outputs=(
        TensorSpec(
            name="units",
            datatype="FP32",
            shape=(3,),
            minimum=0,
            description="what will be sold: the low end, the forecast, and the high end",
        ),
    ),
)


def examples(rows: pa.Table) -> Examples:
    """Store and weekday by their place in the vocabulary, int32 [n], sales, float32 [n]."""
    place = {name: number for number, name in enumerate(STORES)}
    stores = [place.get(name, 0) for name in rows.column("store").to_pylist()]
    inputs = {
        "store": np.array(stores, np.int32),
        "weekday": rows.column("weekday").to_numpy().astype(np.int32),
        "yesterday": rows.column("yesterday").to_numpy().astype(np.float32),
        "week_ago": rows.column("week_ago").to_numpy().astype(np.float32),
    }
    return Examples(inputs, rows.column("units").to_numpy().astype(np.float32))
