"""Claim, which does not hold yet: recording every answer costs at most 3 % of a request's CPU.

    python -m benchmarks.serving.in_process [ROUNDS] [NETWORK] [BEFORE]

CPU microseconds of one request, of the thread that answers it, without a server, and what
its record costs the thread that writes. A few requests are a chunk; chunks with the log on and
off, and of JSON and raw bytes, alternate in one process, so that whatever else the machine does
meets all alike. The figure of each is the mean of its lowest tenth: a chunk that was interrupted
is dear, none is too cheap. BEFORE, the folder of a checkout of an earlier commit, is measured in
turns with this one. NETWORK is that of `overhead.py`: `digits` is the network of digits.

What HTTP itself costs, about two thirds of a request, is not among it: a hundredth there is three
hundredths here.
"""

import io
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    # The code in the working folder, which for BEFORE is another one than that of this file, and
    # not the folder of this file, whose `grpc.py` would be taken for the library.
    sys.path[0] = str(Path.cwd())

from benchmarks.serving.overhead import ANSWER, FILES, IMAGE, NETWORK
from overnight.serving.challenger.router import Router
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.inference.limits import Limits
from overnight.serving.inference.runtime import Predictor
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot, ModelSlots
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from overnight.serving.rest.app import create_application
from overnight.serving.status import StandaloneStatus
from overnight.store.registry.manifest import LogPolicy
from tests.support.serving import bundles

ROUNDS = int(sys.argv[1]) if len(sys.argv) > 1 else 300
BEFORE = Path(sys.argv[3]) if len(sys.argv) > 3 else None
KINDS = ("JSON", "binary")
CHUNK, CHUNKS = 8, 20
POLICY = LogPolicy(share=1.0, inputs="values", clients="digest", feedback=True)
HEAD = {
    "REQUEST_METHOD": "POST",
    "PATH_INFO": "/v2/models/digits/infer",
    "SERVER_NAME": "bench",
    "SERVER_PORT": "1",
    "HTTP_HOST": "bench",
    "REMOTE_ADDR": "127.0.0.1",
    "wsgi.url_scheme": "http",
}


def request_of(kind: str) -> tuple[bytes, dict[str, Any]]:
    """The body and the environ of a request for one picture."""
    tensor: dict[str, Any] = {"name": "image", "shape": [1, 28, 28], "datatype": "UINT8"}
    if kind == "JSON":
        body = json.dumps({"inputs": [tensor | {"data": IMAGE.ravel().tolist()}]}).encode()
        return body, HEAD | {"CONTENT_TYPE": "application/json", "CONTENT_LENGTH": str(len(body))}
    sized = tensor | {"parameters": {"binary_data_size": IMAGE.nbytes}}
    text = json.dumps({"inputs": [sized]}).encode()
    body = text + IMAGE.tobytes()
    return body, HEAD | {
        "CONTENT_TYPE": "application/octet-stream",
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_INFERENCE_HEADER_CONTENT_LENGTH": str(len(text)),
    }


def application(spool: PredictionSpool | None) -> Callable[..., Any]:
    manifest = bundles.manifest(1, FILES, tensors=ANSWER).model_copy(update={"logged": POLICY})
    slots = ModelSlots()
    slot = slots.add(ModelSlot(bundles.MODEL, SharedGeneration.in_process()))
    slot.put(LoadedVersion(1, Predictor(manifest, NETWORK, threads=1), None))
    slot.shared.activate(1)
    router, status = Router(slots), StandaloneStatus()
    return create_application(router, limits=Limits(), status=status, predictions=spool).wsgi_app


def answer(wsgi: Callable[..., Any], body: bytes, environ: dict[str, Any]) -> None:
    """One request, with a body and an environ of its own as a server makes them."""
    started: list[str] = []
    environ = environ | {"wsgi.input": io.BytesIO(body)}
    b"".join(wsgi(environ, lambda status, *_: started.append(status)))
    if started != ["200 OK"]:
        raise SystemExit(f"answered {started}")


def measured() -> Iterator[dict[str, list[float]]]:
    """Microseconds a request of the chunks of one round, by what was measured."""
    with tempfile.TemporaryDirectory() as place:
        spool = PredictionSpool(SpoolConfig(Path(place), spool_bytes=4_000_000_000))
        applications = {"off": application(None), "on": application(spool)}
        requests = {kind: request_of(kind) for kind in KINDS}
        while True:
            spent: dict[str, list[float]] = {}
            for number in range(CHUNKS):
                for kind, (body, environ) in requests.items():
                    for log in ("on", "off") if number % 2 else ("off", "on"):
                        began = time.thread_time_ns()
                        for _ in range(CHUNK):
                            answer(applications[log], body, environ)
                        each = (time.thread_time_ns() - began) / CHUNK / 1000
                        spent.setdefault(f"{kind}, log {log}", []).append(each)
            began = time.thread_time_ns()
            spool.write()
            written = CHUNK * CHUNKS * len(KINDS)
            spent["writing a record"] = [(time.thread_time_ns() - began) / written / 1000]
            yield spent


def lowest(figures: list[float]) -> float:
    """The mean of the lowest tenth."""
    kept = sorted(figures)[: max(1, len(figures) // 10)]
    return sum(kept) / len(kept)


def main() -> None:
    folders = {"now": Path.cwd()} | ({"before": BEFORE} if BEFORE else {})
    children = {
        name: subprocess.Popen(
            [sys.executable, __file__, "0", *sys.argv[2:3]],
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for name, folder in folders.items()
    }
    figures: dict[tuple[str, str], list[float]] = {}
    for _ in range(ROUNDS):
        for name, child in children.items():
            assert child.stdin is not None
            assert child.stdout is not None
            print(file=child.stdin, flush=True)
            for what, spent in json.loads(child.stdout.readline()).items():
                figures.setdefault((name, what), []).extend(spent)
    for child in children.values():
        child.kill()
    report({key: lowest(spent) for key, spent in figures.items()})


def report(figures: dict[tuple[str, str], float]) -> None:
    for (name, what), spent in figures.items():
        before = figures.get(("before", what), spent)
        off = figures.get((name, what.replace("log on", "log off")), spent)
        print(
            f"{name:8}{what:20}{spent:8.2f} µs{spent - off:8.2f} more{spent / before:8.3f} × before"
        )


if __name__ == "__main__":
    if ROUNDS:
        main()
    else:
        rounds = measured()
        for _ in sys.stdin:
            print(json.dumps(next(rounds)), flush=True)
