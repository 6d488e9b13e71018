"""What `overnight predict` does: files to rows, rows to serving, answers to lines."""

import json
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass
from http.client import HTTPException
from pathlib import Path
from typing import Any
from urllib.error import HTTPError

import numpy as np

from overnight.cli.actions.read_image import read_picture
from overnight.cli.terminal import new_table, open_console
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.infra.settings import load
from overnight.models.examples import Array
from overnight.store.errors import BadFile
from overnight.store.schema import NUMPY_TYPES

_TIMEOUT_SECONDS = 30.0
_PICTURES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp"}


@dataclass(frozen=True)
class Tensor:
    """The one input of a model, as serving tells it; `shape` is that of a row."""

    name: str
    datatype: str
    shape: tuple[int, ...]


def run(model: str, files: Sequence[Path], *, as_json: bool) -> None:
    """Ask about every row of every file, in one request.

    Raises:
        BadFile: naming the file, what was expected and what was found.
        ServingUnavailable, ServingRefused
    """
    url = f"{load().answers_url}/v2/models/{model}"
    tensor = _input(_ask(url), model)
    batches = [read_rows(file, tensor) for file in files]
    rows = np.concatenate(batches)
    asked = {
        "name": tensor.name,
        "datatype": tensor.datatype,
        "shape": list(rows.shape),
        "data": rows.reshape(-1).tolist(),
    }
    answer = _ask(f"{url}/infer", {"inputs": [asked]})
    names = [
        file.name if len(batch) == 1 else f"{file.name}[{row}]"
        for file, batch in zip(files, batches, strict=True)
        for row in range(len(batch))
    ]
    told = _told(answer, names)
    if as_json:
        print(json.dumps(told, indent=2))
    else:
        _show(told)


def read_rows(file: Path, tensor: Tensor) -> Array:
    """The rows of one file, as the model takes them: [n, *shape] of its datatype.

    Raises:
        BadFile: not a picture or array, or of another shape, or with values of another type.
    """
    if file.suffix.lower() in _PICTURES:
        return read_picture(file, tensor.shape)[None]
    try:
        found = _array(file)
    except (ValueError, OSError, EOFError) as error:
        raise BadFile(str(file), expected="an array", found=str(error)[:200]) from None
    rows = found[None] if found.shape == tensor.shape else found
    wanted = np.dtype(NUMPY_TYPES[tensor.datatype])  # type: ignore[index]
    if rows.shape[1:] != tensor.shape or not len(rows):
        expected = f"one row {list(tensor.shape)} or several, [n, …]"
        raise BadFile(str(file), expected=expected, found=f"the shape {list(found.shape)}")
    cast = rows.astype(wanted) if rows.dtype.kind in "biuf" else None
    if cast is None or (wanted.kind != "f" and not np.array_equal(cast, rows)):
        raise BadFile(str(file), expected=f"values of type {wanted}", found=str(rows.dtype))
    return cast


def _array(file: Path) -> Array:
    if file.suffix.lower() == ".npy":
        loaded: Array = np.load(file, allow_pickle=False)
        return loaded
    if file.suffix.lower() == ".json":
        return np.asarray(json.loads(file.read_bytes()))
    raise ValueError(f"the ending {file.suffix!r}; known are .npy, .json and pictures")


def _input(metadata: dict[str, Any], model: str) -> Tensor:
    inputs = metadata["inputs"]
    if len(inputs) != 1:
        names = [one["name"] for one in inputs]
        raise ServingRefused(f"{model} takes {names}, and files can give one tensor only; use HTTP")
    one = inputs[0]
    return Tensor(one["name"], one["datatype"], tuple(one["shape"][1:]))


def _ask(url: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
    request = urllib.request.Request(  # noqa: S310  settings allow http and https only
        url,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:  # noqa: S310
            document: dict[str, Any] = json.load(response)
    except HTTPError as error:
        why = error.read().decode(errors="replace")[:300]
        raise ServingRefused(f"serving refused {url} ({error.code}): {why}") from None
    except (OSError, HTTPException, ValueError) as error:
        raise ServingUnavailable(url, str(getattr(error, "reason", error))) from None
    return document


def _told(answer: dict[str, Any], names: Sequence[str]) -> list[dict[str, Any]]:
    """One document a row; classes are told by the likeliest, anything else as it is."""
    output = answer["outputs"][0]
    values = np.asarray(output["data"], dtype=float).reshape(len(names), -1)
    told = []
    for name, row in zip(names, values, strict=True):
        likeliest = int(row.argmax())
        classes = output["datatype"].startswith("FP") and len(row) > 1
        told.append(
            {
                "file": name,
                "answer": likeliest if classes else row.tolist(),
                "probability": float(row[likeliest]) if classes else None,
                "version": answer["model_version"],
            }
        )
    return told


def _show(told: list[dict[str, Any]]) -> None:
    table = new_table("file", "answer", "probability", "version")
    for one in told:
        probability = f"{one['probability']:.2%}" if one["probability"] is not None else ""
        table.add_row(one["file"], str(one["answer"]), probability, one["version"])
    open_console().print(table)
