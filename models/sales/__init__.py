"""Daily sales of grocery stores: a forecast from a year of baskets, in daily arrivals."""

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.moving_holdout import MovingHoldout
from overnight.models.novelty import Novelty
from overnight.models.sales.arrived import arrived_truths
from overnight.models.sales.data_gates import DATA_GATES
from overnight.models.sales.gates import GATES, PERTURBATIONS, REINSTATEMENT
from overnight.models.sales.metrics import in_interval, measure, per_row
from overnight.models.sales.schema import TENSORS, TOLERANCE
from overnight.models.sales.series import (
    HELD_DAYS,
    arrival_examples,
    holdout_examples,
    training_examples,
)
from overnight.models.sales.source import SalesSource
from overnight.models.schedule import Schedule
from overnight.models.search_space import Choice, Range
from overnight.models.watching import Feedback, Watching

DEFINITION = ModelDefinition(
    name="sales",
    title="Daily sales by store and department",
    network="overnight.models.sales.network",
    pictures="overnight.models.sales.plots",
    tensors=TENSORS,
    gates=GATES,
    settings=TrainingSettings(
        epochs=5,
        batch_rows=512,
        learning_rate=0.004,
        seed=1,
        validation_share=0.05,
        patience_epochs=5,
    ),
    open_source=SalesSource,
    examples=training_examples,
    measure=measure,
    correct=in_interval,
    data_gates=DATA_GATES,
    perturbations=PERTURBATIONS,
    warm=TrainingSettings(
        epochs=2,
        batch_rows=512,
        learning_rate=0.001,
        seed=1,
        validation_share=0.05,
        patience_epochs=2,
    ),
    tunable={
        "learning_rate": Range(0.001, 0.01, log=True),
        "batch_rows": Choice((256, 512, 1024)),
        "epochs": Range(3, 10),
    },
    reinstatement=REINSTATEMENT,
    per_row=per_row,
    arrival_examples=arrival_examples,
    moving_holdout=MovingHoldout(days=HELD_DAYS, examples=holdout_examples),
    tolerance=TOLERANCE,
    schedule=Schedule("30 3 * * *", "Europe/Berlin"),
    # A forecast reaches up to ten days ahead, and its day is final three days later.
    watching=Watching(feedback=Feedback(from_arrivals=arrived_truths, window_days=21)),
    # The newest days are judged on and not learned from, and forecasts reach beyond them; a season
    # later, nothing is known of what sells.
    novelty=Novelty(margins={"day": 91}),
)
