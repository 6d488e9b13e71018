"""BentoML, two workers, requests batched adaptively."""

from typing import Annotated

import bentoml
import numpy as np
from bentoml.validators import DType, Shape
from runtime import Network

Images = Annotated[np.ndarray, DType("uint8"), Shape((-1, 28, 28))]


@bentoml.service(workers=2, traffic={"timeout": 60}, logging={"access": {"enabled": False}})
class Digits:
    def __init__(self) -> None:
        self.network = Network()

    @bentoml.api(batchable=True)
    def predict(self, images: Images) -> np.ndarray:
        return self.network(images)
