"""Handwritten digits: a classifier of MNIST, whose images arrive in daily deliveries."""

from overnight.models.definition import ModelDefinition, TrainingSettings
from overnight.models.digits.data_gates import DATA_GATES
from overnight.models.digits.gates import GATES, PERTURBATIONS
from overnight.models.digits.rows import labelled_rows
from overnight.models.digits.schema import TENSORS, examples
from overnight.models.digits.source import DigitsSource
from overnight.models.gates import MinimumImprovement
from overnight.models.metrics.classifier import correct, measure, per_row
from overnight.models.novelty import Novelty
from overnight.models.schedule import Schedule
from overnight.models.search_space import Choice, Range
from overnight.models.watching import Feedback, Watching

DEFINITION = ModelDefinition(
    name="digits",
    title="Handwritten digits",
    network="overnight.models.digits.network",
    pictures="overnight.models.digits.plots",
    tensors=TENSORS,
    gates=GATES,
    settings=TrainingSettings(
        epochs=10,
        batch_rows=128,
        learning_rate=0.02,
        seed=1,
        validation_share=0.04,
        # The rate is still high in the middle of the one cycle, and so are the losses: wait it out.
        patience_epochs=8,
    ),
    open_source=DigitsSource,
    examples=examples,
    measure=measure,
    correct=correct,
    data_gates=DATA_GATES,
    perturbations=PERTURBATIONS,
    warm=TrainingSettings(
        epochs=2,
        batch_rows=128,
        learning_rate=0.004,
        seed=1,
        validation_share=0.04,
        patience_epochs=2,
    ),
    # A delivery's thousand digits show whether an earlier version fits the newest writers better.
    reinstatement=MinimumImprovement(margin=0),
    tunable={
        "learning_rate": Range(0.005, 0.05, log=True),
        "batch_rows": Choice((64, 128, 256)),
        "epochs": Range(6, 16),
    },
    per_row=per_row,
    schedule=Schedule("0 2 * * *", "Europe/Berlin"),
    watching=Watching(feedback=Feedback(rows=labelled_rows)),
    novelty=Novelty(),
)
