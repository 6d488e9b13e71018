"""`overnight predict`: read files as rows, send them to serving, print the predictions."""

import json
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from overnight.cli.actions.read_image import read_image
from overnight.cli.terminal import new_table, open_console
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.infra.settings import load
from overnight.models.examples import Array
from overnight.store.errors import BadFile
from overnight.store.objects.proxies import Proxy
from overnight.store.schema import NUMPY_TYPES, TensorSpec

_TIMEOUT_SECONDS = 30.0
_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


def run(model: str, files: Sequence[Path], *, as_json: bool) -> None:
    """Predict every row of every file, in one request.

    Raises:
        BadFile: a file is not an image or array of the model's input.
        ServingUnavailable, ServingRefused
    """
    settings = load()
    address = settings.answers_url
    request = partial(_request, proxy=settings.proxy_of(address))
    # Not the protocol's metadata, which leave out what a picture has to look like.
    tensor = input_tensor(request(f"{address}/api/models/{model}"), model)
    # One request for all files, so that one version predicts every row.
    batches = [read_rows(file, tensor) for file in files]
    rows = np.concatenate(batches)
    body = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(rows.shape),
        "data": rows.reshape(-1).tolist(),
    }
    response = request(f"{address}/v2/models/{model}/infer", {"inputs": [body]})
    names = [
        file.name if len(batch) == 1 else f"{file.name}[{row}]"
        for file, batch in zip(files, batches, strict=True)
        for row in range(len(batch))
    ]
    predictions = _predictions(response, names)
    if as_json:
        print(json.dumps(predictions, indent=2))
        return
    table = new_table("file", "answer", "probability", "version")
    for prediction in predictions:
        probability = prediction["probability"]
        table.add_row(
            prediction["file"],
            str(prediction["answer"]),
            "" if probability is None else f"{probability:.2%}",
            prediction["version"],
        )
    open_console().print(table)


def read_rows(file: Path, tensor: TensorSpec) -> Array:
    """The rows of one file, as the model takes them: [n, *shape] of its datatype.

    Raises:
        BadFile: not an image or array, or of another shape or type.
    """
    if file.suffix.lower() in _IMAGES:
        return read_image(file, tensor)[None]
    try:
        array = _read_array(file)
    except (ValueError, OSError, EOFError) as error:
        raise BadFile(str(file), expected="an array", found=str(error)[:200]) from None
    rows = array[None] if array.shape == tensor.shape else array
    expected_type = np.dtype(NUMPY_TYPES[tensor.datatype])
    if rows.shape[1:] != tensor.shape or not len(rows):
        expected = f"one row {list(tensor.shape)} or several, [n, …]"
        raise BadFile(str(file), expected=expected, found=f"the shape {list(array.shape)}")
    cast = rows.astype(expected_type) if rows.dtype.kind in "biuf" else None
    # A cast that changes values, such as 300 to uint8, would silently predict something else.
    if cast is None or (expected_type.kind != "f" and not np.array_equal(cast, rows)):
        raise BadFile(str(file), expected=f"values of type {expected_type}", found=str(rows.dtype))
    return cast


def _read_array(file: Path) -> Array:
    if file.suffix.lower() == ".npy":
        loaded: Array = np.load(file, allow_pickle=False)
        return loaded
    if file.suffix.lower() == ".json":
        return np.asarray(json.loads(file.read_bytes()))
    raise ValueError(f"the ending {file.suffix!r}; known are .npy, .json and images")


def input_tensor(details: Mapping[str, Any], model: str) -> TensorSpec:
    """The only input tensor of the version that serves.

    Raises:
        ServingRefused: no version serves, or it takes several tensors.
    """
    inputs = [TensorSpec.model_validate(spec) for spec in details.get("inputs", ())]
    if not inputs:
        raise ServingRefused(f"no version of {model} serves yet")
    if len(inputs) > 1:
        names = [tensor.name for tensor in inputs]
        raise ServingRefused(f"{model} takes {names}, and files can give one tensor only; use HTTP")
    return inputs[0]


def _request(
    url: str, body: dict[str, Any] | None = None, *, proxy: Proxy | None
) -> dict[str, Any]:
    """Send a request, which the environment sends through `proxy`."""
    method = "GET" if body is None else "POST"
    try:
        response = httpx.request(method, url, json=body, timeout=_TIMEOUT_SECONDS)
        if response.is_error and proxy and "json" not in response.headers.get("content-type", ""):
            raise ServingUnavailable(url, f"{proxy} answered {response.status_code}")
        if response.is_error:
            why = f"({response.status_code}): {response.text[:300]}"
            raise ServingRefused(f"serving refused {url} {why}")
        document: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        through = f", through {proxy}" if proxy is not None else ""
        raise ServingUnavailable(url, f"{error}{through}") from None
    return document


def _predictions(response: dict[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """One document per row: of a classifier the likeliest class, else the output as it is."""
    output = response["outputs"][0]
    values = np.asarray(output["data"], dtype=float).reshape(len(names), -1)
    predictions = []
    for name, row in zip(names, values, strict=True):
        likeliest = int(row.argmax())
        classes = output["datatype"].startswith("FP") and len(row) > 1
        predictions.append(
            {
                "file": name,
                "answer": likeliest if classes else row.tolist(),
                "probability": float(row[likeliest]) if classes else None,
                "version": response["model_version"],
            }
        )
    return predictions
