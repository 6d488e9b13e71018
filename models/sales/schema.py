"""Published signature of the sales forecast: tensors, vocabularies, horizon and quantiles."""

from overnight.models.metrics.equivalence import Tolerance
from overnight.models.sales.holidays import FIRST_DAY, LAST_DAY
from overnight.store.schema import Forecast, Schema, TensorSpec

# Baskets arrive up to three days late: a day is final when three more have passed.
GAP_DAYS = 3
# A forecast covers a week from the first day after the gap.
HORIZON_DAYS = 7
SHORTEST_LEAD, LONGEST_LEAD = GAP_DAYS + 1, GAP_DAYS + HORIZON_DAYS
RECENT_DAYS = 56
QUANTILES = (0.1, 0.5, 0.9)
# In pieces: a number further from the network's own counts as another forecast.
TOLERANCE = Tolerance(absolute=0.05, relative=0.02)

OTHER = "other"
# The departments that sell at least one piece in most of these stores on most days.
DEPARTMENTS = (
    "GROCERY",
    "DRUG GM",
    "PRODUCE",
    "MEAT-PCKGD",
    "MEAT",
    "DELI",
    "PASTRY",
    "NUTRITION",
)
PERISHABLE = ("PRODUCE", "MEAT-PCKGD", "MEAT", "DELI", "PASTRY")
# The 80 stores with the most sales in the first arrival: 86 % of these departments' pieces.
STORES = (
    *(289, 292, 293, 295, 296, 298, 300, 304, 306, 310, 311, 313, 315, 316, 318, 319, 320, 321),
    *(323, 324, 327, 329, 330, 333, 334, 335, 343, 346, 354, 356, 359, 361, 362, 364, 367, 368),
    *(369, 370, 372, 374, 375, 380, 381, 382, 384, 388, 389, 391, 396, 400, 401, 402, 403, 404),
    *(406, 408, 410, 412, 421, 422, 424, 427, 429, 432, 433, 436, 438, 439, 441, 442, 443, 445),
    *(446, 447, 450, 31642, 31742, 31782, 31862, 32004),
)

STORE = TensorSpec(
    name="store",
    datatype="INT32",
    shape=(),
    vocabulary=(OTHER, *map(str, STORES)),
    otherwise=OTHER,
    description="the store, by its place in the vocabulary; any other store is 0",
)
DEPARTMENT = TensorSpec(
    name="department",
    datatype="INT32",
    shape=(),
    vocabulary=(OTHER, *DEPARTMENTS),
    otherwise=OTHER,
    description="the department, by its place in the vocabulary; any other department is 0",
)
DAY = TensorSpec(
    name="day",
    datatype="INT32",
    shape=(),
    minimum=FIRST_DAY,
    maximum=LAST_DAY,
    date=True,
    description="the day asked for, in days since 1970-01-01; a trading day begins at 09:00 UTC",
)
LEAD = TensorSpec(
    name="lead_days",
    datatype="INT32",
    shape=(),
    minimum=SHORTEST_LEAD,
    maximum=LONGEST_LEAD,
    description="days from the cut-off, the last day whose sales are known and final, to that day",
)
RECENT = TensorSpec(
    name="recent",
    datatype="FP32",
    shape=(RECENT_DAYS,),
    minimum=-100_000,
    maximum=100_000,
    description="pieces sold there on each of the 56 days up to the cut-off, which comes last; "
    "0 where nothing was sold",
)

TENSORS = Schema(
    inputs=(STORE, DEPARTMENT, DAY, LEAD, RECENT),
    outputs=(
        TensorSpec(
            name="units",
            datatype="FP32",
            shape=(len(QUANTILES),),
            minimum=0,
            description="pieces that will be sold: at most the first number with probability 10 %, "
            "the second, which is the forecast, 50 %, the third 90 %",
        ),
        TensorSpec(
            name="known",
            datatype="UINT8",
            shape=(2,),
            minimum=0,
            maximum=1,
            description="whether the store and the department are known by name; what is not is "
            "answered as other",
        ),
    ),
    forecast=Forecast(history=RECENT.name, lead=LEAD.name, day=DAY.name, quantiles=QUANTILES),
)
