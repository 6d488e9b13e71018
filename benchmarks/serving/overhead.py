"""Claim: a prediction over HTTP costs little more CPU time than the bare network and server.

    python -m benchmarks.serving.overhead [SECONDS] [NETWORK]

Justifies granian, LiteRT and the fast path of `serving/rest/middleware/fast_path.py`: CPU
microseconds a request, for each kind of body, compared with applications that answer a constant on
the same server (WSGI alone, and a Flask view that only parses), and with the bare network in one
process. CPU time is stable on a noisy machine, so rounds are interleaved and ratios are within
a round. NETWORK is `digits` for the network of digits, or names another .tflite
that takes `image` and answers `probabilities`; without it, it is a tiny one.
"""

import io
import json
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving.peers.load import Order, Tally
from overnight.serving.inference.runtime import Predictor
from overnight.store.schema import Schema
from tests.support.s3_server import free_ports
from tests.support.serving import bundles
from tests.support.serving.server_process import ROOT, Serving, run_serving
from tests.support.waiting import until

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
ASKED = sys.argv[2] if len(sys.argv) > 2 else ""
CONNECTIONS, ROUNDS = 16, 5


def _network(chosen: str) -> bytes:
    if chosen != "digits":
        return Path(chosen).read_bytes() if chosen else bundles.network(1)
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "digits.tflite"
        command = [sys.executable, "-m", "benchmarks.serving.digits_network", str(made)]
        subprocess.run(command, cwd=ROOT, capture_output=True, check=True)
        return made.read_bytes()


IMAGE = np.random.default_rng(1).integers(0, 256, (1, 28, 28), dtype=np.uint8)
ANSWER = Schema(
    inputs=bundles.TENSORS.inputs,
    outputs=bundles.TENSORS.outputs[:1],
    labels=bundles.TENSORS.labels,
)
NETWORK = _network(ASKED)
FILES = {"predictor.tflite": NETWORK}
MANIFEST = bundles.manifest(1, FILES, tensors=ANSWER)

FLASK = """
import orjson
from flask import Flask, Response, request
application = Flask(__name__)
@application.get("/v2/health/ready")
def ready():
    return "ready"
@application.post("/v2/models/digits/infer")
def parse():
    orjson.loads(request.get_data())
    return Response(BODY, content_type="application/json")
"""
WSGI = """
HEADERS = [("Content-Type", "application/json"), ("Content-Length", str(len(BODY)))]
def application(environ, start_response):
    environ["wsgi.input"].read()
    start_response("200 OK", HEADERS)
    return [BODY]
"""


def _request(body: bytes, *headers: str) -> bytes:
    head = ["POST /v2/models/digits/infer HTTP/1.1", "Host: bench", *headers]
    return "\r\n".join([*head, f"Content-Length: {len(body)}", "", ""]).encode() + body


def requests() -> dict[str, bytes]:
    """One picture as each kind of body."""
    tensor = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8"}

    def as_json(values: list[object]) -> bytes:
        body = json.dumps({"inputs": [tensor | {"data": values}]}).encode()
        return _request(body, "Content-Type: application/json")

    sized = tensor | {"parameters": {"binary_data_size": IMAGE.nbytes}}
    text = json.dumps({"inputs": [sized]}).encode()
    length = f"Inference-Header-Content-Length: {len(text)}"
    raw = _request(text + IMAGE.tobytes(), "Content-Type: application/octet-stream", length)
    picture = io.BytesIO()
    Image.fromarray(IMAGE[0]).save(picture, "PNG")
    return {
        "JSON, flat": as_json(IMAGE.ravel().tolist()),
        "JSON, nested": as_json(IMAGE.tolist()),
        "binary": raw,
        "PNG": _request(picture.getvalue(), "Content-Type: image/png"),
    }


@contextmanager
def ours(home: Path) -> Iterator[Serving]:
    """One worker of serving with its defaults, on the bundle alone."""
    folder = bundles.folder(home / "bundle", 1, FILES)
    (folder / "manifest.json").write_bytes(MANIFEST.encoded())
    with run_serving("--rehearse", str(folder), place=home) as serving:
        until(serving.is_ready)
        yield serving


@contextmanager
def constant(home: Path, source: str) -> Iterator[Serving]:
    """An application that always answers the same, on the same server."""
    home.mkdir(parents=True)
    answer = json.dumps({"model_name": "digits", "outputs": [{"data": [0.1] * 10}]}).encode()
    (home / "constant.py").write_text(f"BODY = {answer!r}\n{source}")
    (port,) = free_ports(1)
    command = [sys.executable, "-m", "granian", "constant:application", "--interface", "wsgi",
               "--port", str(port), "--workers", "1", "--blocking-threads", "2",
               "--backpressure", "64", "--working-dir", str(home), "--no-log"]  # fmt: skip
    process = subprocess.Popen(command, cwd=home)
    try:
        serving = Serving(process, port, home / "log")
        until(serving.is_ready)
        yield serving
    finally:
        process.terminate()
        process.wait(20)


def measure(serving: Serving, request: bytes) -> Tally:
    order = Order(
        port=serving.port,
        leader=serving.process.pid,
        requests=(request.decode("latin-1"),),
        connections=CONNECTIONS,
        warm_seconds=0.3,
        seconds=SECONDS,
    )
    command = [sys.executable, "-m", "benchmarks.serving.peers.load"]
    done = subprocess.run(
        command,
        input=json.dumps(asdict(order)),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    tally = Tally(**json.loads(done.stdout))
    if tally.failures:
        raise SystemExit(f"failed: {tally.failures}")
    return tally


def bare_network() -> float:
    """CPU microseconds of one row through the predictor, in this process, for as long."""
    predictor = Predictor(MANIFEST, NETWORK, threads=1)
    rows, began, end = 0, time.process_time(), time.monotonic() + SECONDS
    while time.monotonic() < end:
        predictor.predict({"image": IMAGE}, ["probabilities"])
        rows += 1
    return (time.process_time() - began) / rows * 1e6


def rounds(servers: dict[str, tuple[Serving, list[str]]]) -> dict[str, list[Tally]]:
    """Everything in turns, so that whatever else the machine does meets all alike."""
    sent, tallies_by_name = requests(), dict[str, list[Tally]]()
    for _ in range(ROUNDS):
        cpu = bare_network()
        tallies_by_name.setdefault("the bare network", []).append(Tally(cpu, 0, 0, 0, 0, {}))
        for name, (serving, kinds) in servers.items():
            for kind in kinds:
                tallies_by_name.setdefault(f"{name}: {kind}", []).append(
                    measure(serving, sent[kind])
                )
    return tallies_by_name


def main() -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        home = Path(place)
        kinds = list(requests())
        tallies_by_name = rounds(
            {
                "constant WSGI": (stack.enter_context(constant(home / "a", WSGI)), kinds[:1]),
                "Flask that parses": (stack.enter_context(constant(home / "b", FLASK)), kinds[:1]),
                "overnight": (stack.enter_context(ours(home / "c")), kinds),
            }
        )
    report(tallies_by_name)


def report(tallies_by_name: dict[str, list[Tally]]) -> None:
    bare = [tally.cpu_us for tally in tallies_by_name["the bare network"]]
    flask = [tally.cpu_us for tally in tallies_by_name["Flask that parses: JSON, flat"]]
    print(f"{'':32}{'CPU µs':>8}{'x bare':>8}{'x Flask':>9}{'req/s':>8}{'p50 ms':>8}{'p99 ms':>8}")
    for name, tallies in tallies_by_name.items():
        cpu = [tally.cpu_us for tally in tallies]
        columns = [
            f"{statistics.median(cpu):8.0f}",
            f"{statistics.median(a / b for a, b in zip(cpu, bare, strict=True)):8.2f}",
            f"{statistics.median(a / b for a, b in zip(cpu, flask, strict=True)):9.2f}",
        ]
        if tallies[0].answers:
            columns += [f"{statistics.median(tally.per_second for tally in tallies):8.0f}"]
            columns += [f"{statistics.median(tally.p50_ms for tally in tallies):8.2f}"]
            columns += [f"{statistics.median(tally.p99_ms for tally in tallies):8.2f}"]
        print(f"{name:32}{''.join(columns)}")


if __name__ == "__main__":
    main()
