"""`overnight predict`: send the rows of files to serving, and print what it answers."""

import json
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import numpy as np

from overnight.cli.actions.predict_rows import FileRow, rows_of
from overnight.cli.terminal import new_table, open_console
from overnight.cli.version_names import ShortNames
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.infra.settings import load
from overnight.store.errors import BadFile
from overnight.store.objects.proxies import Proxy
from overnight.store.printable import printable
from overnight.store.schema import TensorSpec

_TIMEOUT_SECONDS = 30.0
# Fewer than any server allows that is not limited on purpose; those that are get halves.
_ROWS = 128
_CHARACTERS = 4_000_000
_SHOWN_VALUES = 8
# As on the page.
_NEARLY_CERTAIN = 0.9995
# Where serving names a row: by its place in the data, or as the encoding names it.
_ROW = re.compile(r"\.data\[(\d+)\]|, row (\d+):")
_TOO_MUCH, _BAD, _UNKNOWN = 413, 400, 404


class Refused(ServingRefused):
    """Serving refused a request: with its status, and the reason."""

    def __init__(self, url: str, status: int, text: str) -> None:
        self.status, self.reason = status, text
        super().__init__(f"serving refused {url} ({status}): {text[:300]}")


class NothingServed(ServingRefused):
    """No version of a model is served there."""

    def __init__(self, model: str, address: str, models: Mapping[str, Any]) -> None:
        """`models`: what `/api/models` answers there."""
        served = [each["name"] for each in models["models"] if each["version"]]
        super().__init__(
            f"{address} serves no version of {model!r}, but of {', '.join(served) or 'no model'}; "
            f"if {model!r} is no typing error, `overnight retrain {model}` makes a first version"
        )


def run(model: str, files: Sequence[Path], *, as_json: bool) -> int:
    """Predict every row of every file, all by one version; returns the exit code.

    Rows that fail are named on standard error, and cost the others nothing.

    Raises:
        ServingUnavailable, ServingRefused: no row could be predicted, whatever it holds.
    """
    settings = load()
    address = settings.answers_url
    request = partial(_request, proxy=settings.proxy_of(address))
    # Not the protocol's metadata, which leave out what a picture has to look like.
    asking = _Asking(address, model, request)
    predictions = []
    for chunk in _chunks(asking, files):
        predictions += asking.predict(chunk)
    if as_json:
        print(json.dumps(predictions, indent=2))
    elif predictions:
        _print(predictions)
    return 1 if asking.failed else 0


@dataclass
class _Asking:
    """Asks one model; the version that answers first answers all further requests."""

    address: str
    model: str
    request: Any
    failed: int = 0
    version: str = ""
    inputs: tuple[TensorSpec, ...] = field(init=False)
    outputs: tuple[TensorSpec, ...] = field(init=False)
    labels: Mapping[str, Sequence[str]] = field(init=False)

    def __post_init__(self) -> None:
        try:
            details = self.request(f"{self.address}/api/models/{self.model}")
        except Refused as error:
            if error.status != _UNKNOWN:
                raise
            models = self.request(f"{self.address}/api/models")
            raise NothingServed(self.model, self.address, models) from None
        self.inputs = input_tensors(details, self.model)
        self.outputs = tuple(TensorSpec.model_validate(spec) for spec in details["outputs"])
        first = {self.outputs[0].name: details.get("labels") or self.outputs[0].labels}
        self.labels = {spec.name: spec.labels for spec in self.outputs} | first

    def fail(self, name: str, why: str) -> None:
        """Report a row that cannot be predicted."""
        self.failed += 1
        print(printable(f"{name}: {why}"), file=sys.stderr)

    def predict(self, rows: list[FileRow]) -> list[dict[str, Any]]:
        """The predictions of these rows, without those that fail."""
        rows = list(rows)
        while rows:
            try:
                return self._predicted(rows)
            except Refused as error:
                if error.status == _TOO_MUCH and len(rows) > 1:
                    half = len(rows) // 2
                    return [*self.predict(rows[:half]), *self.predict(rows[half:])]
                place = self._failing(error, rows)
                if place is None:
                    raise
                self.fail(rows.pop(place).name, error.reason)
        return []

    def _failing(self, error: Refused, rows: Sequence[FileRow]) -> int | None:
        """The row that a refusal is about; None if it is about none of them."""
        if error.status not in {_TOO_MUCH, _BAD}:
            return None
        if len(rows) == 1:
            return 0
        named = _ROW.search(error.reason)
        place = int(named[1] or named[2]) if named else 0
        return place if place < len(rows) else 0

    def _predicted(self, rows: Sequence[FileRow]) -> list[dict[str, Any]]:
        version = f"/versions/{self.version}" if self.version else ""
        response = self.request(
            f"{self.address}/v2/models/{self.model}{version}/infer",
            {
                "inputs": [_tensor(spec, rows) for spec in self._sent(rows)],
                "outputs": [{"name": spec.name} for spec in self.outputs],
            },
        )
        self.version = response["model_version"]
        unlike = _unlike_rows(response)
        arrays = {
            output["name"]: np.asarray(output["data"]).reshape(len(rows), -1)
            for output in response["outputs"]
        }
        return [
            self._prediction(row.name, arrays, n) | {"unlike_training": unlike.get(n, "")}
            for n, row in enumerate(rows)
        ]

    def _sent(self, rows: Sequence[FileRow]) -> list[TensorSpec]:
        """The inputs that the rows have; all rows of a chunk have the same."""
        return [spec for spec in self.inputs if spec.name in rows[0].values]

    def _prediction(self, name: str, arrays: Mapping[str, Any], row: int) -> dict[str, Any]:
        """The first output as the answer: of a classifier the likeliest class, else as it is."""
        first = self.outputs[0].name
        values = arrays[first][row]
        labels = self.labels[first]
        is_class = len(labels) == len(values) > 1
        likeliest = int(values.argmax())
        prediction = {
            "file": name,
            "answer": likeliest if is_class else _plain(values),
            "probability": float(values[likeliest]) if is_class else None,
            "version": self.version,
        }
        if is_class:
            prediction["label"] = labels[likeliest]
        if len(arrays) > 1:
            prediction["outputs"] = {key: _plain(array[row]) for key, array in arrays.items()}
        return prediction


def input_tensors(details: Mapping[str, Any], model: str) -> tuple[TensorSpec, ...]:
    """The inputs of the version that serves.

    Raises:
        ServingRefused: no version serves.
    """
    inputs = tuple(TensorSpec.model_validate(spec) for spec in details.get("inputs", ()))
    if not inputs:
        raise ServingRefused(f"no version of {model} serves yet")
    return inputs


def _chunks(asking: _Asking, files: Sequence[Path]) -> Iterator[list[FileRow]]:
    """Rows to be sent together: with values for the same inputs, and not too long."""
    chunk: list[FileRow] = []
    characters = 0
    for row in _readable(asking, files):
        size = len(json.dumps(row.values))
        other = chunk and chunk[0].values.keys() != row.values.keys()
        if chunk and (other or len(chunk) >= _ROWS or characters + size > _CHARACTERS):
            yield chunk
            chunk, characters = [], 0
        chunk.append(row)
        characters += size
    if chunk:
        yield chunk


def _readable(asking: _Asking, files: Sequence[Path]) -> Iterator[FileRow]:
    """The rows of all files; what cannot be read is reported."""
    for file in files:
        try:
            for row in rows_of(file, asking.inputs):
                if row.problem:
                    asking.fail(row.name, row.problem)
                else:
                    yield row
        except BadFile as error:
            asking.fail(file.name, f"expected {error.expected}, found {error.found}")
        except OSError as error:
            asking.fail(file.name, f"cannot be read: {error.strerror or error}")


def _tensor(spec: TensorSpec, rows: Sequence[FileRow]) -> dict[str, Any]:
    """One input of all rows as a tensor of the Open Inference Protocol."""
    data = [row.values[spec.name] for row in rows]
    shape = [len(rows), *spec.v2_shape[1:]]
    is_picture = spec.takes_pictures and any(isinstance(value, str) for value in data)
    is_text = spec.text is not None or any(isinstance(value, str) for value in data)
    if is_text and spec.vocabulary:
        data = [_category(spec, value) for value in data]
    if is_picture:
        shape = shape[:1]
    datatype = "BYTES" if is_text and (spec.accepts_text or is_picture) else spec.datatype
    return {"name": spec.name, "datatype": datatype, "shape": shape, "data": data}


def _category(spec: TensorSpec, value: Any) -> Any:
    """The name of a category that was given by its number."""
    known = type(value) is int and 0 <= value < len(spec.vocabulary)
    return spec.vocabulary[value] if known else value


def _unlike_rows(response: Mapping[str, Any]) -> dict[int, str]:
    """Why rows are unlike what the version learned from, by row."""
    parameters = response.get("parameters", {})
    reasons: dict[int, list[str]] = {}
    for each in json.loads(parameters.get("unlike_training", "[]")):
        named = f"{each['input']} is " if "input" in each else ""
        reasons.setdefault(each["row"], []).append(named + each["why"])
    return {row: "; ".join(texts) for row, texts in reasons.items()}


def _plain(values: Any) -> Any:
    """A single number, or a list of them."""
    return values[0].item() if len(values) == 1 else values.tolist()


def _print(predictions: Sequence[Mapping[str, Any]]) -> None:
    console = open_console()
    # All answers are of one version, whose beginning to the minute says enough here.
    short = ShortNames([] if console.is_terminal else None)
    # Only where there is something in it: the table has little room.
    is_flagged = any(prediction["unlike_training"] for prediction in predictions)
    more = ("unlike what it learned from",) if is_flagged else ()
    table = new_table("file", "answer", "probability", "version", *more)
    for prediction in predictions:
        probability = prediction["probability"]
        table.add_row(
            prediction["file"],
            _shown(prediction.get("label", prediction["answer"])),
            "" if probability is None else _share(probability),
            short(prediction["version"]),
            *((prediction["unlike_training"],) if is_flagged else ()),
        )
    console.print(table)


def _share(probability: float) -> str:
    """A probability in percent; one that is nearly 1 is not shown as certain."""
    return "> 99.9 %" if probability > _NEARLY_CERTAIN else f"{probability * 100:.1f} %"


def _shown(answer: Any) -> str:
    """An answer in one line; a long vector by its first numbers."""
    if not isinstance(answer, list):
        return f"{answer:.6g}" if isinstance(answer, float) else str(answer)
    few = ", ".join(f"{value:.4g}" for value in answer[:_SHOWN_VALUES])
    more = len(answer) - _SHOWN_VALUES
    return f"[{few}{f', … {more} more' if more > 0 else ''}]"


def _request(
    url: str, body: dict[str, Any] | None = None, *, proxy: Proxy | None
) -> dict[str, Any]:
    """Send a request, which the environment sends through `proxy`."""
    method = "GET" if body is None else "POST"
    try:
        response = httpx.request(method, url, json=body, timeout=_TIMEOUT_SECONDS)
        is_json = "json" in response.headers.get("content-type", "")
        if response.is_error and proxy and not is_json:
            raise ServingUnavailable(url, f"{proxy} answered {response.status_code}")
        if response.is_error:
            reason = response.json().get("error") if is_json else None
            raise Refused(url, response.status_code, reason or response.text)
        document: dict[str, Any] = response.json()
    except (httpx.HTTPError, ValueError) as error:
        through = f", through {proxy}" if proxy is not None else ""
        raise ServingUnavailable(url, f"{error}{through}") from None
    return document
