"""What rows of sales must be, and how far a night may differ from those before it."""

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.data_gates.drift import ColumnSample, SameShares, SameSpread
from overnight.models.sales.rows import APART
from overnight.models.sales.schema import DAY, DEPARTMENT, STORES
from overnight.models.sales.series import encoded
from overnight.store.schema import TensorSpec

# No basket holds more of one department; of fuel and the like they count thousandths.
_MOST_UNITS, _MOST_APART = 10_000, 1_000_000


def described(rows: pa.Table) -> ColumnSample:
    """Of each row its department and store, as far as they are known by name, and its pieces.

    What is counted in other units is left out, so that a night without fuel differs in nothing.
    """
    counted = rows.filter(pc.invert(pc.is_in(rows["department"], pa.array(APART))))
    store = counted["store"].to_numpy().astype(np.int64)
    department = counted["department"].to_numpy(zero_copy_only=False)
    codes = encoded(store, department)
    return ColumnSample(
        counted.num_rows,
        {"store": codes[:, 0].astype(np.int64), "department": codes[:, 1].astype(np.int64)},
        {"pieces": counted["units"].to_numpy().astype(np.float64)},
    )


DATA_GATES = DataGates(
    columns=(
        Column(
            TensorSpec(
                name="basket",
                datatype="INT64",
                shape=(),
                minimum=0,
                description="the basket, by a number that is never used again",
            )
        ),
        Column(
            TensorSpec(
                name="store",
                datatype="INT32",
                shape=(),
                minimum=1,
                maximum=99_999,
                description="the number of the store",
            )
        ),
        Column(DAY),
        Column(
            TensorSpec(
                name="units",
                datatype="FP64",
                shape=(),
                minimum=-_MOST_UNITS,
                maximum=_MOST_UNITS,
                description="pieces; below nothing when they came back",
            )
        ),
        Column(
            TensorSpec(
                name="apart",
                datatype="FP64",
                shape=(),
                minimum=-_MOST_APART,
                maximum=_MOST_APART,
                description="what FUEL and MISCELLANEOUS count, in units of their own",
            )
        ),
    ),
    minimum_rows=1_000,
    # A forecast from stale sales is none, and ten nights without any are no empty night.
    fresh_days=10,
    # The furthest of the replay's 61 nights: 0.155 (Thanksgiving), 0.32 and 0.16. A night without
    # the largest department, without half of the stores or in other units is beyond: 0.43, 0.64, 5.
    shifts=(
        SameShares("department", bound=0.2, names=DEPARTMENT.vocabulary),
        SameShares("store", bound=0.4, names=("other", *map(str, STORES))),
        SameSpread("pieces", bound=0.3),
    ),
    described=described,
    # Longer than any source was silent, and shorter than most slips of a month or a year.
    apart_days=14,
)
