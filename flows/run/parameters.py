"""The types of the flows' parameters, from which Prefect's UI builds its forms."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, GetJsonSchemaHandler
from pydantic_core import CoreSchema

from overnight import models
from overnight.infra.settings import load
from overnight.models.errors import UnknownModel

Policy = Literal["automatic", "manual"]
Approval = Literal["as declared", "automatic", "manual"]
StartFrom = Literal["as declared", "scratch", "champion"]


def _known(model: str) -> str:
    # A run's parameters are checked before anything else reads the settings of its process.
    load()
    try:
        models.declaration(model)
    except UnknownModel as error:
        # Pydantic reports a ValueError as one about this parameter.
        raise ValueError(str(error)) from None
    return model


class _ChoiceOfModels:
    """Makes a field of a form the choice of the models that there are when the form is made."""

    @classmethod
    def __get_pydantic_json_schema__(
        cls, core: CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        load()
        return {**handler(core), "enum": list(models.names())}


ModelName = Annotated[str, AfterValidator(_known), _ChoiceOfModels]
Version = Annotated[
    str, Field(pattern=r"^\d{8}T\d{6}-[0-9a-f]{12}$", examples=["20261122T020000-0123456789ab"])
]
Epochs = Annotated[int, Field(ge=1, le=200)]
BatchRows = Annotated[int, Field(ge=8, le=4096)]
LearningRate = Annotated[float, Field(gt=0, le=1)]
Seed = Annotated[int, Field(ge=0, le=2**31 - 1)]
