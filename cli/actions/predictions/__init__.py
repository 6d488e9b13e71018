"""Actions on the prediction log."""

from overnight.infra import connections
from overnight.infra.settings import Settings
from overnight.models.errors import UnknownModel
from overnight.store.objects import keys
from overnight.store.predictions.tables import LabelTable, PredictionTable


def tables(settings: Settings, model: str) -> tuple[PredictionTable, LabelTable]:
    """The tables of a model that the project declares, or of which the bucket has some.

    Raises:
        UnknownModel: naming the models that there are.
    """
    # Slow to import, which help must not wait for.
    from overnight import models

    declared = models.names()
    if model not in declared:
        # What was recorded of a model outlives its declaration, and can be deleted.
        bucket = connections.bucket(settings)
        stored = {*bucket.names_below("predictions"), *bucket.names_below("spool")}
        known = sorted({*declared, *filter(keys.is_model, stored)})
        if model not in known:
            raise UnknownModel(model, tuple(known))
    address = connections.address(settings)
    return PredictionTable.on_s3(address, model), LabelTable.on_s3(address, model)
