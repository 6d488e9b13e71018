"""The vocabulary of gates: small frozen values that a model declares and an evaluation answers.

Bounds are inclusive and named so that signs cannot be confused. What is missing, not a number or
measured on too few rows fails, and says so. A comparison without a champion is not applicable.
`docs/gates.md` tells what each gate promises.
"""

from models.gates.baseline import BetterThan
from models.gates.bounds import AtLeast, AtMost, Calibrated, Robust
from models.gates.champion import MaximumRegression, MinimumImprovement
from models.gates.comparing import difference_interval
from models.gates.gate import ALPHA, MINIMUM_ROWS, WHOLE, Gate
from models.gates.holm import holm
from models.gates.serving import SamePredictions, WithinBudget

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
