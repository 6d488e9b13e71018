"""Rehearses a version: starts the real serving application on it and sends it requests over HTTP.

The answers must be those of the trained network; latency and memory are measured; some requests
become the golden examples, whose answers every replica must repeat before it serves the version.
"""

import http.client
import io
import itertools
import json
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import psutil
from numpy.typing import NDArray

from overnight.models.examples import Array, Examples
from overnight.models.metrics.equivalence import Tolerance, Tolerances, compare_outputs
from overnight.models.metrics.evaluation import Rehearsal
from overnight.store.encoding.arrays import packed
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES, TensorSpec
from overnight.tasks import child_process
from overnight.tasks.errors import StepFailed

_BATCH_ROWS = 64
# Other load on the machine only ever adds latency, so the fastest pass is the best estimate.
_PASSES = 3
_SINGLE_REQUESTS = 200
_FEW_ROWS, _FEW_REQUESTS = 8, 50
_GOLDEN_ROWS = 20


@dataclass(frozen=True)
class RehearsalResult:
    """The measurements of a rehearsal, and the golden examples as an npz file."""

    rehearsal: Rehearsal
    golden: bytes


def rehearse(
    draft: Manifest,
    files: Mapping[str, bytes],
    *,
    holdout: Examples,
    expected: Mapping[str, Array],
    folder: Path,
    seconds: float,
    tolerance: Tolerances | None = None,
) -> RehearsalResult:
    """Serve the bundle and request the whole holdout in batches, then single rows.

    Args:
        draft: the manifest before evaluation; it lists `files`.
        expected: what the trained network answered for the holdout, by output name.
        tolerance: the tolerance within which numbers count as the same answer.

    Raises:
        StepFailed: serving did not start, did not answer, or took longer than `seconds`.
    """
    bundle = folder / "bundle"
    bundle.mkdir(exist_ok=True)
    for name, body in files.items():
        (bundle / name).write_bytes(body)
    (bundle / "manifest.json").write_bytes(draft.encoded())
    port, log = _free_port(), folder / "rehearsal.log"
    deadline = time.monotonic() + seconds
    arguments = ["--rehearse", str(bundle), "--with-parent"]
    # Loopback only, whatever the settings say: the version is not published.
    arguments += ["--host", "127.0.0.1", "--port", str(port)]
    with (
        child_process.running("overnight.serving", arguments, log=log) as process,
        closing(_Client(draft, port, deadline, log)) as client,
    ):
        client.wait_until_ready(process)
        names = tuple(spec.name for spec in draft.tensors.outputs)
        served = client.infer_all(holdout.inputs, outputs=names)
        singles = [rows for _, rows in islice(_batches(holdout.inputs, 1), _SINGLE_REQUESTS)]
        passes = [[client.timed(row) for row in singles] for _ in range(_PASSES)]
        small_batches = [
            client.timed(rows)
            for _, rows in islice(_batches(holdout.inputs, _FEW_ROWS), _FEW_REQUESTS)
        ]
        resident = _resident_mb(process.pid)
        # Spread over all rows: in a forecast, neighbouring rows are of one series.
        rows = np.linspace(0, holdout.n, min(_GOLDEN_ROWS, holdout.n), endpoint=False, dtype=int)
        golden_rows = rows + (holdout.n // max(2 * len(rows), 1))
        golden_inputs = {name: array[golden_rows] for name, array in holdout.inputs.items()}
        golden_outputs = client.infer_all(golden_inputs, outputs=tuple(expected))
    agreement = compare_outputs(draft.tensors, expected, served, tolerance=tolerance or Tolerance())
    p50, p99 = np.percentile(passes, [50, 99], axis=1).min(axis=1)
    rehearsal = Rehearsal(
        n=agreement.n,
        largest_difference=agreement.largest_difference,
        changed_answers=agreement.changed_answers,
        further=agreement.further,
        p50_ms=float(p50) * 1e3,
        p99_ms=float(p99) * 1e3,
        resident_mb=resident,
        size_mb=sum(len(body) for body in files.values()) / 1e6,
        row_ms=float(p50) * 1e3,
        row_ms_in_eight=float(np.median(small_batches)) * 1e3 / min(_FEW_ROWS, holdout.n),
    )
    return RehearsalResult(rehearsal=rehearsal, golden=_npz(golden_inputs, golden_outputs))


class _Client:
    """A v2 client of one model, over one persistent connection."""

    def __init__(self, draft: Manifest, port: int, deadline: float, log: Path) -> None:
        self._draft, self._deadline, self._log = draft, deadline, log
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def wait_until_ready(self, process: subprocess.Popen[bytes]) -> None:
        while True:
            try:
                self._connection.request("GET", f"/v2/models/{self._draft.model}/ready")
                response = self._connection.getresponse()
                response.read()
                if response.status == http.HTTPStatus.OK:
                    return
            except (OSError, http.client.HTTPException):
                self._connection.close()
            # A crash at the start must not cost the whole time-out.
            if process.poll() is not None:
                raise StepFailed(f"serving ended before it was ready; its log: {self._log}")
            self._check_deadline()
            time.sleep(0.05)

    def infer_all(
        self, inputs: Mapping[str, Array], *, outputs: tuple[str, ...]
    ) -> dict[str, Array]:
        """The outputs for all rows as arrays by name, requested in batches, in the rows' order."""
        batches = list(_batches(inputs, _BATCH_ROWS))
        answers = [self._send(self._body(rows, outputs)) for _, rows in batches]
        # The places of the answers' rows among the inputs', the other way round.
        order = np.argsort(np.concatenate([places for places, _ in batches]))
        return {
            name: np.concatenate([answer[name] for answer in answers])[order] for name in outputs
        }

    def timed(self, inputs: Mapping[str, Array]) -> float:
        """Seconds from sending a request to the parsed answer."""
        body = self._body(inputs, ())
        began = time.perf_counter()
        self._send(body)
        return time.perf_counter() - began

    def _body(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> bytes:
        body: dict[str, object] = {
            "inputs": [
                _as_tensor(spec, inputs[spec.name])
                for spec in self._draft.tensors.inputs
                # An input that the rows do not have is left to its declared default.
                if spec.name in inputs
            ]
        }
        if outputs:
            # The first output as JSON, as most clients request it; the others may be much larger.
            first = self._draft.tensors.outputs[0].name
            body["outputs"] = [
                {"name": name, "parameters": {"binary_data": name != first}} for name in outputs
            ]
        return json.dumps(body).encode()

    def _send(self, body: bytes) -> dict[str, Array]:
        self._check_deadline()
        path = f"/v2/models/{self._draft.model}/infer"
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", path, body=body, headers=headers)
            response = self._connection.getresponse()
            text = response.read()
        except (OSError, http.client.HTTPException) as error:
            raise StepFailed(
                f"serving closed the connection: {error!r}; its log: {self._log}"
            ) from None
        if response.status != http.HTTPStatus.OK:
            raise StepFailed(
                f"serving answered {response.status} to holdout rows: {text[:300]!r}; "
                f"its log: {self._log}"
            )
        return _decode_outputs(text, response.getheader("Inference-Header-Content-Length"))

    def _check_deadline(self) -> None:
        if time.monotonic() > self._deadline:
            raise StepFailed(f"the rehearsal ran out of time; the log of serving: {self._log}")


def _as_tensor(spec: TensorSpec, values: Array) -> dict[str, object]:
    """One input as a client sends it: texts, names of categories and dates as BYTES."""
    if spec.lengths and values.dtype.kind == "O":
        # Rows of one batch are of one length, and lists or arrays: numpy's numbers are no JSON.
        values = np.array(
            [[] if row is None else np.asarray(row).tolist() for row in values], object
        )
    data = _as_json(values)
    is_text = any(isinstance(value, str) for value in data)
    return {
        "name": spec.name,
        "datatype": "BYTES" if spec.text is not None or is_text else spec.datatype,
        "shape": list(values.shape),
        "data": data,
    }


def _as_json(values: Array) -> list[object]:
    """Values in row-major order; a missing one is null, because JSON has no NaN."""
    flat: list[object] = values.ravel().tolist()
    if values.dtype.kind == "O" or (values.dtype.kind == "f" and np.isnan(values).any()):
        flat = [None if value != value else value for value in flat]  # noqa: PLR0124
    return flat


def _decode_outputs(text: bytes, length: str | None) -> dict[str, Array]:
    """The outputs by name; binary ones follow the JSON, in its order (v2 binary extension)."""
    start = int(length) if length else len(text)
    outputs: dict[str, Array] = {}
    for output in json.loads(text[:start])["outputs"]:
        dtype = np.dtype(NUMPY_TYPES[output["datatype"]])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values: Array = np.asarray(output["data"], dtype)
        else:
            values = np.frombuffer(text, dtype, size // dtype.itemsize, offset=start)
            start += size
        outputs[output["name"]] = values.reshape(output["shape"])
    return outputs


def _batches(
    inputs: Mapping[str, Array], rows: int
) -> Iterator[tuple[NDArray[np.int64], dict[str, Array]]]:
    """Batches of at most so many rows with their places; lists in one batch are of one length."""
    n = len(next(iter(inputs.values()))) if inputs else 0
    lists = [array for array in inputs.values() if array.dtype.kind == "O" and array.ndim == 1]
    keys = [tuple(_length(array[row]) for array in lists) for row in range(n)]
    order = sorted(range(n), key=keys.__getitem__)
    for _, alike in itertools.groupby(order, key=keys.__getitem__):
        places = np.array(list(alike), np.int64)
        for start in range(0, len(places), rows):
            chosen = places[start : start + rows]
            yield chosen, {name: array[chosen] for name, array in inputs.items()}


def _length(value: object) -> int:
    """The length of a list; 0 for what is none, so that texts are batched in their order."""
    return len(value) if isinstance(value, list | tuple | np.ndarray) else 0


def _npz(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bytes:
    buffer = io.BytesIO()
    # Published values, as clients send them; texts and lists without pickle.
    arrays: dict[str, Any] = packed({f"input.{name}": array for name, array in inputs.items()})
    arrays |= {f"output.{name}": array for name, array in outputs.items()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _resident_mb(pid: int) -> float:
    """The resident memory of the largest process of the server: its worker."""
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    return max(process.memory_info().rss for process in family) / 1e6


def _free_port() -> int:
    # Serving binds the port only after this socket is closed: a small race, which would end as
    # `StepFailed`.
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
