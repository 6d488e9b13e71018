"""The vocabulary of gates: small frozen values that a model declares and an evaluation answers.

Bounds are inclusive and named so that signs cannot be confused. What is missing, not a number or
measured on too few rows fails, and says so. A comparison without a champion is not applicable.
`docs/gates.md` tells what each gate promises.
"""

from overnight.models.gates.baseline import BetterThan
from overnight.models.gates.bounds import AtLeast, AtMost, Calibrated, Robust
from overnight.models.gates.champion import MaximumRegression, MinimumImprovement
from overnight.models.gates.comparing import difference_interval
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
    "MaximumRegression",
    "MinimumImprovement",
    "Robust",
    "SamePredictions",
    "WithinBudget",
    "difference_interval",
    "holm",
]
