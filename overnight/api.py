"""What the definition of a model is written with, in one place.

    from overnight.api import ModelDefinition, Schema, TensorSpec, TrainingSettings

Importing it imports no TensorFlow: what a network is built and trained with is in
`overnight.models.training`, and only the training process imports that.
"""

from overnight.models.data_gates.columns import Column
from overnight.models.data_gates.declaration import DataGates
from overnight.models.data_gates.drift import SameShares, SameSpread
from overnight.models.definition import (
    AS_IT_IS,
    Delivery,
    ModelDefinition,
    Places,
    Reading,
    Source,
    StreamedDelivery,
    TrainingSettings,
)
from overnight.models.examples import Array, Examples, Outputs
from overnight.models.gates import (
    AtLeast,
    AtMost,
    BetterThan,
    Calibrated,
    Gate,
    MaximumGap,
    MaximumRegression,
    MinimumImprovement,
    Robust,
    SamePredictions,
    WithinBudget,
)
from overnight.models.kinds.classification import Classification
from overnight.models.kinds.daily_series import DailySeries
from overnight.models.kinds.regression import Regression
from overnight.models.kinds.table import Table, category, date, number, text
from overnight.models.learned import (
    Borders,
    Learner,
    MeanAndDeviation,
    Vocabulary,
    WordPieces,
    Words,
)
from overnight.models.metrics.equivalence import Tolerance
from overnight.models.metrics.evaluation import RowMetric
from overnight.models.metrics.slices import slices_by
from overnight.models.moving_holdout import MovingHoldout
from overnight.models.novelty import Novelty
from overnight.models.schedule import Schedule, StepLimits
from overnight.models.search_space import Choice, Range
from overnight.models.sources.csv_dialect import Csv
from overnight.models.sources.csv_folder import CsvFolder
from overnight.models.sources.delta import DeltaTable, TableVersion
from overnight.models.sources.files import Files
from overnight.models.sources.holdout_share import HoldoutShare
from overnight.models.sources.http import Http
from overnight.models.sources.picture_folders import PictureFolders
from overnight.models.sources.row_formats import JsonLines, Parquet
from overnight.models.sources.sql import Sql
from overnight.models.watching import Feedback, PredictionLog, Watching
from overnight.store.input_encodings import Missing, TextEncoding
from overnight.store.pictures.declaration import Picture
from overnight.store.registry.manifest import Measurement
from overnight.store.schema import Forecast, Schema, TensorSpec

__all__ = [
    "AS_IT_IS",
    "Array",
    "AtLeast",
    "AtMost",
    "BetterThan",
    "Borders",
    "Calibrated",
    "Choice",
    "Classification",
    "Column",
    "Csv",
    "CsvFolder",
    "DailySeries",
    "DataGates",
    "Delivery",
    "DeltaTable",
    "Examples",
    "Feedback",
    "Files",
    "Forecast",
    "Gate",
    "HoldoutShare",
    "Http",
    "JsonLines",
    "Learner",
    "MaximumGap",
    "MaximumRegression",
    "MeanAndDeviation",
    "Measurement",
    "MinimumImprovement",
    "Missing",
    "ModelDefinition",
    "MovingHoldout",
    "Novelty",
    "Outputs",
    "Parquet",
    "Picture",
    "PictureFolders",
    "Places",
    "PredictionLog",
    "Range",
    "Reading",
    "Regression",
    "Robust",
    "RowMetric",
    "SamePredictions",
    "SameShares",
    "SameSpread",
    "Schedule",
    "Schema",
    "Source",
    "Sql",
    "StepLimits",
    "StreamedDelivery",
    "Table",
    "TableVersion",
    "TensorSpec",
    "TextEncoding",
    "Tolerance",
    "TrainingSettings",
    "Vocabulary",
    "Watching",
    "WithinBudget",
    "WordPieces",
    "Words",
    "category",
    "date",
    "number",
    "slices_by",
    "text",
]
