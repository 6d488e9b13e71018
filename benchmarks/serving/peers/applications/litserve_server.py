"""LitServe, two workers."""

import sys

import litserve
import numpy as np
from runtime import Network


class Digits(litserve.LitAPI):
    def setup(self, device):  # noqa: ARG002 - LitServe names the argument
        self.network = Network()

    def decode_request(self, request):
        return np.array(request["image"], dtype=np.uint8).reshape(1, 28, 28)

    def predict(self, x):
        return self.network(x)

    def encode_response(self, output):
        return {"probabilities": output[0].tolist()}


if __name__ == "__main__":
    server = litserve.LitServer(Digits(), accelerator="cpu", workers_per_device=2, fast_queue=True)
    server.run(
        host="127.0.0.1", port=int(sys.argv[1]), generate_client_file=False, log_level="warning"
    )
