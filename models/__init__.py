"""What is kept trained: one folder a model, and the catalogue of them."""

from collections.abc import Mapping

from models.definition import ModelDefinition
from models.digits import DEFINITION as DIGITS
from models.sales import DEFINITION as SALES
from store.errors import UnknownModel

CATALOGUE: Mapping[str, ModelDefinition] = {model.name: model for model in (DIGITS, SALES)}


def find(model: str) -> ModelDefinition:
    """The definition of a model.

    Raises:
        UnknownModel: naming those in the catalogue.
    """
    try:
        return CATALOGUE[model]
    except KeyError:
        raise UnknownModel(model, tuple(CATALOGUE)) from None
