"""Asks serving with KServe's client, and prints what it was told. Runs in KServe's environment."""

import asyncio
import json
import sys

import grpc
import httpx
import numpy as np
from kserve import (
    InferenceGRPCClient,
    InferenceRESTClient,
    InferInput,
    InferOutput,
    InferRequest,
    RESTConfig,
)
from kserve.protocol.infer_type import RequestedOutput


async def ask(url: str, model: str, rows: list) -> dict[str, object]:
    reported: dict[str, object] = {}
    images = np.array(rows, np.uint8)
    async with InferenceRESTClient(RESTConfig(protocol="v2")) as v2:
        reported["live"] = await v2.is_server_live(url)
        reported["ready"] = await v2.is_server_ready(url)
        reported["model_ready"] = await v2.is_model_ready(url, model)
        reported["nobody_ready"] = await v2.is_model_ready(url, "nobody")
        for binary in (False, True):
            request = _request(model, images, binary=binary)
            headers: dict[str, str] = {}
            answer = await v2.infer(url, request, model_name=model, response_headers=headers)
            reported[f"binary {binary}"] = _told(answer.outputs[0])
            reported["version"], reported["id"] = headers["x-model-version"], answer.id
        reported["mistake"] = await _mistake(v2, url, model, _request(model, images[:, :27]))
        reported["nobody"] = await _mistake(v2, url, "nobody", _request("nobody", images))
    async with InferenceRESTClient(RESTConfig(protocol="v1")) as v1:
        reported["v1_ready"] = await v1.is_model_ready(url, model)
        reported["v1"] = (await v1.infer(url, {"instances": rows}, model_name=model))["predictions"]
    return reported


async def ask_over_grpc(address: str, model: str, rows: list) -> dict[str, object]:
    images = np.array(rows, np.uint8)
    async with InferenceGRPCClient(address) as client:
        reported: dict[str, object] = {
            "grpc_live": await client.is_server_live(),
            "grpc_ready": await client.is_server_ready(),
            "grpc_model_ready": await client.is_model_ready(model),
            "grpc_nobody_ready": await client.is_model_ready("nobody"),
        }
        for binary in (False, True):
            answer = await client.infer(_request(model, images, binary=binary))
            reported[f"grpc binary {binary}"] = _told(answer.outputs[0])
            reported["grpc_version"], reported["grpc_id"] = answer.model_version, answer.id
        request = _request(model, images, binary=True)
        request.request_outputs = None
        every = await client.infer(request, headers=(("x-request-id", "told"),))
        reported["grpc_outputs"] = [output.name for output in every.outputs]
        for name, wrong in (("mistake", images[:, :27]), ("nobody", images)):
            try:
                await client.infer(_request(model if name == "mistake" else name, wrong))
            except grpc.RpcError as error:
                reported[f"grpc_{name}"] = (error.code().name, error.details())
    return reported


def _request(model: str, images: np.ndarray, *, binary: bool = False) -> InferRequest:
    tensor = InferInput("image", list(images.shape), "UINT8")
    tensor.set_data_from_numpy(images, binary_data=binary)
    outputs = [RequestedOutput("probabilities", {"binary_data": binary})]
    return InferRequest(model, [tensor], request_id="mine", request_outputs=outputs)


def _told(output: InferOutput) -> dict[str, object]:
    return {"datatype": output.datatype, "rows": output.as_numpy().tolist()}


async def _mistake(
    client: InferenceRESTClient, url: str, model: str, request: InferRequest
) -> tuple[int, str]:
    try:
        await client.infer(url, request, model_name=model)
    except httpx.HTTPStatusError as error:
        return error.response.status_code, str(error)
    return 200, ""


if __name__ == "__main__":
    sent = json.load(sys.stdin)
    told = asyncio.run(ask(sys.argv[1], sys.argv[2], sent))
    print(json.dumps(told | asyncio.run(ask_over_grpc(sys.argv[3], sys.argv[2], sent))))
