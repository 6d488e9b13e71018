"""The measured servers, each started as its documentation recommends, with two workers."""

import json
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.serving.peers import lanes
from benchmarks.serving.peers.installation import APPLICATIONS, NETWORK, ROOT, python
from benchmarks.serving.peers.lanes import Lane

INFER = "/v2/models/digits/infer"
GRPC = Lane("gRPC", lanes.MODEL_INFER, lanes.v2_message, is_grpc=True)
ONNX = "ONNX Runtime, float"


@dataclass(frozen=True)
class Place:
    """Where a server may write, and where it is to listen.

    `spare` ports are its own too; the first is that of gRPC.
    """

    folder: Path
    port: int
    spare: tuple[int, int]


@dataclass(frozen=True)
class Server:
    """One server; `environment` names its list of versions, None is our own environment."""

    name: str
    title: str
    runtime: str
    setting: str
    lanes: tuple[Lane, ...]
    command: Callable[[Place], list[str]]
    environment: str | None = None
    arrange: Callable[[Place], dict[str, str]] = field(default=lambda _place: {})
    workers: int = 2


def _script(name: str, *arguments: str) -> list[str]:
    return [str(python(name)), str(APPLICATIONS / f"{name}_server.py"), *arguments]


def _overnight(place: Place) -> dict[str, str]:
    from benchmarks.serving.peers import ours

    ours.fill(place.folder)
    return ours.settings(place.folder) | {"PYTHONPATH": str(ROOT)}


def _mlserver(place: Place) -> dict[str, str]:
    """Its settings are files in the folder that it is started on."""
    http, grpc, metrics = place.port, *place.spare
    settings = {
        "host": "127.0.0.1",
        "http_port": http,
        "grpc_port": grpc,
        "metrics_port": metrics,
        "parallel_workers": 2,
        "debug": False,
    }
    model = {"name": "digits", "implementation": "mlserver_server.Digits"}
    (place.folder / "settings.json").write_text(json.dumps(settings))
    (place.folder / "model-settings.json").write_text(json.dumps(model))
    return {}


def _mlflow(name: str, *, title: str, runtime: str, lane: Lane) -> Server:
    def command(place: Place) -> list[str]:
        serve = [str(python(name).with_name("mlflow")), "models", "serve", "--env-manager", "local"]
        where = ["--model-uri", str(NETWORK / name), "--port", str(place.port), "--workers", "2"]
        return [*serve, *where, "--host", "127.0.0.1"]

    setting = "mlflow models serve, two workers"
    return Server(name, title, runtime, setting, (lane,), command, environment=name)


OURS = Server(
    name="overnight",
    title="overnight",
    runtime="LiteRT, int8 weights",
    setting="python -m overnight.serving, two workers of two threads",
    lanes=(
        Lane("JSON", INFER, lanes.v2),
        Lane("binary", INFER, lanes.v2_binary),
        Lane("PNG", INFER, lanes.png),
        GRPC,
    ),
    command=lambda place: [
        sys.executable,
        "-m",
        "overnight.serving",
        "--port",
        str(place.port),
        "--grpc-port",
        str(place.spare[0]),
    ],
    arrange=_overnight,
)

PEERS = (
    Server(
        name="litserve",
        title="LitServe",
        runtime=ONNX,
        setting="workers_per_device=2, fast_queue",
        lanes=(Lane("JSON", "/predict", lanes.plain),),
        command=lambda place: _script("litserve", str(place.port)),
        environment="litserve",
    ),
    Server(
        name="bentoml",
        title="BentoML",
        runtime=ONNX,
        setting="workers=2, adaptive batching",
        lanes=(Lane("JSON", "/predict", lanes.nested("images")),),
        command=lambda place: [
            *(str(python("bentoml").with_name("bentoml")), "serve", "bentoml_server:Digits"),
            *("--working-dir", str(APPLICATIONS), "--host", "127.0.0.1"),
            *("--port", str(place.port)),
        ],
        environment="bentoml",
    ),
    Server(
        name="kserve",
        title="KServe",
        runtime=ONNX,
        # Its gRPC is answered by one process, whatever the workers.
        setting="--workers 2, gRPC",
        lanes=(Lane("JSON", INFER, lanes.v2), Lane("binary", INFER, lanes.v2_binary), GRPC),
        command=lambda place: _script(
            "kserve",
            *("--http_port", str(place.port), "--workers", "2"),
            *("--enable_grpc", "true", "--grpc_port", str(place.spare[0])),
            *("--enable_latency_logging", "false"),
        ),
        environment="kserve",
    ),
    Server(
        name="mlserver",
        title="MLServer",
        runtime=ONNX,
        setting="parallel_workers=2",
        lanes=(Lane("JSON", INFER, lanes.v2), GRPC),
        command=lambda place: [
            str(python("mlserver").with_name("mlserver")),
            "start",
            str(place.folder),
        ],
        environment="mlserver",
        arrange=_mlserver,
    ),
    _mlflow(
        "mlflow-onnx",
        title="MLflow, onnx",
        runtime=ONNX,
        lane=Lane("JSON", "/invocations", lanes.mlflow_named),
    ),
    _mlflow(
        "mlflow-keras",
        title="MLflow, keras",
        runtime="TensorFlow, keras.predict",
        lane=Lane("JSON", "/invocations", lanes.nested("inputs")),
    ),
    Server(
        name="tutorial",
        title="tutorials' Flask",
        runtime="TensorFlow, keras.predict",
        setting="Flask's development server, threads",
        lanes=(Lane("JSON", "/predict", lanes.plain),),
        command=lambda place: [
            *(str(python("tutorial")), str(APPLICATIONS / "tutorial.py"), str(place.port)),
        ],
        environment="tutorial",
        workers=1,
    ),
)


def chosen(names: list[str]) -> list[Server]:
    """Those servers, all of them for none; ours first.

    Raises:
        ValueError: there is no server of such a name.
    """
    every = {server.name: server for server in (OURS, *PEERS)}
    if unknown := sorted(set(names) - set(every)):
        raise ValueError(f"no server {', '.join(unknown)}; there are {', '.join(every)}")
    return [server for server in every.values() if not names or server.name in names]
