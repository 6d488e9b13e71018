"""The learn step: vocabularies, pieces and statistics of the training rows, before all else."""

from dataclasses import replace

import pyarrow as pa

from overnight.models.definition import ModelDefinition
from overnight.models.learner import learn as learn_inputs
from overnight.store.errors import UnencodableValue
from overnight.tasks.data.validate import origin
from overnight.tasks.errors import Unlearnable


def learn(definition: ModelDefinition, rows: pa.Table) -> ModelDefinition:
    """The definition with what its learners learn of the training rows.

    `rows` may have the arrival columns, so that an error can name the arrival. Without learners it
    is the same definition, and nothing is read.

    Raises:
        Unlearnable: the rows are no examples, or have nothing to learn from.
    """
    if not definition.learned:
        return definition
    try:
        # The model's own code on new data: what it raises says that the data is broken.
        inputs = definition.examples(rows).inputs
        tensors = learn_inputs(
            definition.tensors, definition.learned, inputs, model=definition.name
        )
    except (KeyError, ValueError, UnencodableValue) as error:
        reason = f"nothing can be learned of the rows: {error}{origin(rows, definition, error)}"
        raise Unlearnable(reason) from error
    return replace(definition, tensors=tensors)
