"""Quality gates: frozen values that a model declares, and that turn an evaluation into findings.

Bounds are inclusive and named so that signs cannot be confused. A metric that is missing, not a
number or measured on too few rows fails, with the reason in the finding. A comparison without a
champion is not applicable. `docs/gates.md` documents what each gate guarantees.
"""

from overnight.models.gates.baseline import BetterThan
from overnight.models.gates.bounds import AtLeast, AtMost, Calibrated, Robust
from overnight.models.gates.champion import MaximumRegression, MinimumImprovement
from overnight.models.gates.comparing import difference_interval
from overnight.models.gates.gap import MaximumGap
from overnight.models.gates.gate import ALPHA, MINIMUM_ROWS, WHOLE, Gate
from overnight.models.gates.holm import holm
from overnight.models.gates.serving import SamePredictions, WithinBudget

__all__ = [
    "ALPHA",
    "MINIMUM_ROWS",
    "WHOLE",
    "AtLeast",
    "AtMost",
    "BetterThan",
    "Calibrated",
    "Gate",
    "MaximumGap",
    "MaximumRegression",
    "MinimumImprovement",
    "Robust",
    "SamePredictions",
    "WithinBudget",
    "difference_interval",
    "holm",
]
