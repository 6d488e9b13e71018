"""A runtime for MLServer, which the settings beside it start in two worker processes."""

import numpy as np
from mlserver import MLModel
from mlserver.codecs import NumpyCodec
from mlserver.types import InferenceRequest, InferenceResponse
from runtime import Network


class Digits(MLModel):
    async def load(self) -> bool:
        self.network = Network()
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        images = NumpyCodec.decode_input(payload.inputs[0]).astype(np.uint8, copy=False)
        output = NumpyCodec.encode_output("probabilities", self.network(images))
        return InferenceResponse(model_name=self.name, outputs=[output])
