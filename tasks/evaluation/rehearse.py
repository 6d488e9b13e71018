"""Rehearse a version: the real serving application, in its own process, asked over HTTP.

What it answers must be what the network answered in training; what it costs is measured; the
requests become the golden examples that every replica must repeat before it serves the version.
"""

import http.client
import io
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

from overnight.models.examples import Array, Examples
from overnight.models.metrics.equivalence import Near, same
from overnight.models.metrics.evaluation import Rehearsal
from overnight.store.registry.manifest import Manifest
from overnight.store.schema import NUMPY_TYPES
from overnight.tasks.errors import StepFailed
from overnight.tasks.training import child_process

_BATCH_ROWS = 64
# What else the machine does only ever adds, so the quietest of some passes is nearest the truth.
_PASSES = 3
_SINGLE_REQUESTS = 200
_FEW_ROWS, _FEW_REQUESTS = 8, 50
_GOLDEN_ROWS = 20


@dataclass(frozen=True)
class RehearsalResult:
    """What a rehearsal yields: its measurements, and the golden examples as a file."""

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
    near: Near | None = None,
) -> RehearsalResult:
    """Serve the bundle and ask it for the whole holdout, then for single rows.

    Args:
        draft: the manifest as far as it is known; it lists `files`.
        expected: what the trained network answered for the holdout, by output name.
        near: how far numbers may be from those and still be the same answer.

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
    # Nobody but us may ask a version that is not published, wherever serving else listens.
    arguments += ["--host", "127.0.0.1", "--port", str(port)]
    with (
        child_process.running("serving", arguments, log=log) as process,
        closing(_Client(draft, port, deadline, log)) as client,
    ):
        client.wait_until_ready(process)
        names = tuple(spec.name for spec in draft.tensors.outputs)
        answers = [client.ask(rows, outputs=names) for rows in _batches(holdout, _BATCH_ROWS)]
        passes = [[client.timed(row) for row in _singles(holdout)] for _ in range(_PASSES)]
        few = [client.timed(rows) for rows in islice(_batches(holdout, _FEW_ROWS), _FEW_REQUESTS)]
        resident = _resident_mb(process.pid)
        # From everywhere among the rows: of a model that forecasts, the first are one series.
        rows = np.linspace(0, holdout.n, min(_GOLDEN_ROWS, holdout.n), endpoint=False, dtype=int)
        spread = rows + (holdout.n // max(2 * len(rows), 1))
        golden_inputs = {name: array[spread] for name, array in holdout.inputs.items()}
        golden_outputs = client.ask(golden_inputs, outputs=tuple(expected))
    served = {name: np.concatenate([outputs[name] for outputs in answers]) for name in names}
    found = same(draft.tensors, expected, served, near=near or Near())
    p50, p99 = np.percentile(passes, [50, 99], axis=1).min(axis=1)
    rehearsal = Rehearsal(
        n=found.n,
        largest_difference=found.largest_difference,
        changed_answers=found.changed_answers,
        further=found.further,
        p50_ms=float(p50) * 1e3,
        p99_ms=float(p99) * 1e3,
        resident_mb=resident,
        size_mb=sum(len(body) for body in files.values()) / 1e6,
        row_ms=float(p50) * 1e3,
        row_ms_in_eight=float(np.median(few)) * 1e3 / min(_FEW_ROWS, holdout.n),
    )
    return RehearsalResult(rehearsal=rehearsal, golden=_packed(golden_inputs, golden_outputs))


class _Client:
    """Asks one model over one kept connection, as any client of the protocol would."""

    def __init__(self, draft: Manifest, port: int, deadline: float, log: Path) -> None:
        self._draft, self._deadline, self._log = draft, deadline, log
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)

    def close(self) -> None:
        self._connection.close()

    def wait_until_ready(self, process: subprocess.Popen[str]) -> None:
        while True:
            try:
                self._connection.request("GET", f"/v2/models/{self._draft.model}/ready")
                answer = self._connection.getresponse()
                answer.read()
                if answer.status == http.HTTPStatus.OK:
                    return
            except (OSError, http.client.HTTPException):
                self._connection.close()
            if process.poll() is not None:
                raise StepFailed(f"serving ended before it was ready; its log: {self._log}")
            self._in_time()
            time.sleep(0.05)

    def ask(
        self, inputs: Mapping[str, Array], *, outputs: tuple[str, ...] = ()
    ) -> dict[str, Array]:
        """The answers to some rows, as arrays by output name."""
        return self._send(self._body(inputs, outputs))

    def timed(self, inputs: Mapping[str, Array]) -> float:
        """Seconds from request to parsed answer for one row."""
        body = self._body(inputs, ())
        began = time.perf_counter()
        self._send(body)
        return time.perf_counter() - began

    def _body(self, inputs: Mapping[str, Array], outputs: tuple[str, ...]) -> bytes:
        body: dict[str, object] = {
            "inputs": [
                {
                    "name": spec.name,
                    "datatype": spec.datatype,
                    "shape": list(inputs[spec.name].shape),
                    "data": inputs[spec.name].ravel().tolist(),
                }
                for spec in self._draft.tensors.inputs
            ]
        }
        if outputs:
            # The answer itself as most clients ask for it; what explains it may be much longer.
            first = self._draft.tensors.outputs[0].name
            body["outputs"] = [
                {"name": name, "parameters": {"binary_data": name != first}} for name in outputs
            ]
        return json.dumps(body).encode()

    def _send(self, body: bytes) -> dict[str, Array]:
        self._in_time()
        path = f"/v2/models/{self._draft.model}/infer"
        headers = {"Content-Type": "application/json"}
        try:
            self._connection.request("POST", path, body=body, headers=headers)
            answer = self._connection.getresponse()
            text = answer.read()
        except (OSError, http.client.HTTPException) as error:
            raise StepFailed(f"serving broke off: {error!r}; its log: {self._log}") from None
        if answer.status != http.HTTPStatus.OK:
            raise StepFailed(
                f"serving answered {answer.status} to holdout rows: {text[:300]!r}; "
                f"its log: {self._log}"
            )
        return _answered(text, answer.getheader("Inference-Header-Content-Length"))

    def _in_time(self) -> None:
        if time.monotonic() > self._deadline:
            raise StepFailed(f"the rehearsal ran out of time; the log of serving: {self._log}")


def _answered(text: bytes, length: str | None) -> dict[str, Array]:
    """The outputs by name; those that tell their bytes stand behind the JSON, in its order."""
    start = int(length) if length else len(text)
    found: dict[str, Array] = {}
    for output in json.loads(text[:start])["outputs"]:
        kind = np.dtype(NUMPY_TYPES[output["datatype"]])
        size = output.get("parameters", {}).get("binary_data_size")
        if size is None:
            values: Array = np.asarray(output["data"], kind)
        else:
            values = np.frombuffer(text, kind, size // kind.itemsize, offset=start)
            start += size
        found[output["name"]] = values.reshape(output["shape"])
    return found


def _batches(holdout: Examples, rows: int) -> Iterator[dict[str, Array]]:
    for start in range(0, holdout.n, rows):
        yield {name: array[start : start + rows] for name, array in holdout.inputs.items()}


def _singles(holdout: Examples) -> Iterator[dict[str, Array]]:
    for row in range(min(holdout.n, _SINGLE_REQUESTS)):
        yield {name: array[row : row + 1] for name, array in holdout.inputs.items()}


def _packed(inputs: Mapping[str, Array], outputs: Mapping[str, Array]) -> bytes:
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {f"input.{name}": array for name, array in inputs.items()}
    arrays |= {f"output.{name}": array for name, array in outputs.items()}
    np.savez_compressed(buffer, **arrays)
    return buffer.getvalue()


def _resident_mb(pid: int) -> float:
    """The largest process of the server: what one worker costs."""
    parent = psutil.Process(pid)
    family = [parent, *parent.children(recursive=True)]
    return max(process.memory_info().rss for process in family) / 1e6


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])
