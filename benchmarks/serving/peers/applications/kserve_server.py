"""KServe's Python server, two workers: `kserve_server.py --http_port PORT --workers 2 …`."""

from kserve import InferOutput, InferRequest, InferResponse, Model, ModelServer
from kserve.utils.utils import generate_uuid
from runtime import Network


class Digits(Model):
    def load(self) -> bool:
        self.network = Network()
        self.ready = True
        return True

    def predict(self, payload: InferRequest, *_headers, **_more):
        answers = self.network(payload.inputs[0].as_numpy())
        output = InferOutput("probabilities", list(answers.shape), "FP32")
        output.set_data_from_numpy(answers, binary_data=payload.use_binary_outputs)
        return InferResponse(payload.id or generate_uuid(), self.name, [output])


if __name__ == "__main__":
    digits = Digits("digits")
    digits.load()
    ModelServer().start([digits])
