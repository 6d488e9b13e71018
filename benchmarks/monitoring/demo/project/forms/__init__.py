"""The digits of forms that Census employees filled in: no student's are among them.

The definition is that of overnight's own digits. Another source delivers Census writers alone, and
once; the holdout is theirs too. So whatever is known of students came back as labels.
"""

from dataclasses import replace

import pyarrow as pa

from forms.source import CensusDigits
from overnight.models import digits
from overnight.models.digits.data_gates import DATA_GATES
from overnight.models.examples import Examples
from overnight.models.gates import AtLeast, BetterThan, MaximumRegression, WithinBudget

NETWORK = "overnight.models.digits.network"
EPOCHS = 14
LEARNING_RATE = 0.02
LEAST_ACCURACY = 0.95
LABELS_PER_FALSE_ALARM = 100_000
CONFIDENCES = {"champion's confidence"}


def examples(rows: pa.Table) -> Examples:
    """As of all digits, without slices of writers who are not there."""
    whole = digits.DEFINITION.examples(rows)
    return replace(whole, slices={name: of for name, of in whole.slices.items() if of.any()})


DEFINITION = replace(
    digits.DEFINITION,
    title="Digits of forms",
    network=NETWORK,
    settings=digits.DEFINITION.settings.model_copy(
        update={"epochs": EPOCHS, "learning_rate": LEARNING_RATE}
    ),
    warm=None,
    reinstatement=None,
    perturbations={},
    open_source=CensusDigits,
    examples=examples,
    watching=replace(digits.DEFINITION.watching, labels_per_false_alarm=LABELS_PER_FALSE_ALARM),
    gates=(
        AtLeast("accuracy", LEAST_ACCURACY),
        BetterThan("accuracy", baseline="majority_accuracy"),
        MaximumRegression(margin=0.005),
        WithinBudget(p99_ms=100, resident_mb=250, size_mb=5),
    ),
    # Some hundred labelled digits are an arrival too, and what is to be learned from them is that
    # writers changed: the champion's confidence may be another one.
    data_gates=replace(
        DATA_GATES,
        minimum_rows=500,
        shifts=tuple(
            gate for gate in DATA_GATES.shifts if getattr(gate, "number", "") not in CONFIDENCES
        ),
    ),
    schedule=None,
)
