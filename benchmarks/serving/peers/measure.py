"""One round of a server: start, check of its answers, load lane by lane, stop."""

import http.client
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import grpc

from benchmarks.serving.peers import installation, load, processes
from benchmarks.serving.peers.lanes import BINARY_HEADER, Lane, digit_of, digit_of_message
from benchmarks.serving.peers.network import Images, Sample
from benchmarks.serving.peers.servers import Place, Server
from tests.support.s3_server import free_ports

CONNECTIONS = 16
CHECKED = 20
WARM_SECONDS = 1.0
START_SECONDS = 180.0
MISANSWERING_SECONDS = 30.0
LOOK_SECONDS = 0.05
# A server rests when it spends less than this share of a core.
SETTLE_SECONDS, REST_SECONDS, RESTING_SHARE = 60.0, 1.0, 0.1
LOG, LOG_LINES = "server.log", 12


class Unfit(Exception):
    """A server that did not start, or did not answer rightly; says why."""


class Misanswered(Unfit):
    """It answered, but not that; soon after its start that may still come right."""


@dataclass(frozen=True)
class Cold:
    """Until the first right answer: on the clock, CPU of all processes, and of the busiest."""

    seconds: float
    cpu_seconds: float
    worker_cpu_seconds: float


@dataclass(frozen=True)
class Memory:
    """Resident at the end of a round's load."""

    resident_mb: float
    proportional_mb: float
    worker_mb: float


@dataclass(frozen=True)
class Round:
    """What one round of a server came to; lanes by name."""

    cold: Cold
    memory: Memory
    lanes: dict[str, load.Tally]
    refused: dict[str, str]


@dataclass(frozen=True)
class Started:
    """A server that has answered."""

    process: "subprocess.Popen[bytes]"
    port: int
    grpc_port: int
    cold: Cold

    def port_of(self, lane: Lane) -> int:
        return self.grpc_port if lane.is_grpc else self.port


def measure(server: Server, sample: Sample, *, seconds: float) -> Round:
    """One round.

    Raises:
        Unfit: it does not start, or no lane answers; with the last lines of its log.
    """
    with tempfile.TemporaryDirectory(prefix="peers-") as name:
        folder = Path(name)
        with started(server, sample, folder) as instance:
            settle(instance)
            tallies, refused = _lanes(server, instance, sample, seconds)
            if not tallies:
                raise Unfit("\n".join([*refused.values(), _end(folder / LOG)]))
            return Round(instance.cold, measure_memory(server, instance), tallies, refused)


def _lanes(
    server: Server, instance: Started, sample: Sample, seconds: float
) -> tuple[dict[str, load.Tally], dict[str, str]]:
    """What was measured of each lane, and which could not be."""
    tallies: dict[str, load.Tally] = {}
    refused: dict[str, str] = {}
    for lane in server.lanes:
        try:
            check(lane, instance.port_of(lane), sample)
            tallies[lane.name] = loaded(lane, instance, sample, seconds)
        except Unfit as error:
            refused[lane.name] = str(error)
    return tallies, refused


@contextmanager
def started(server: Server, sample: Sample, folder: Path) -> Iterator[Started]:
    """Start the server in `folder` and wait for its first right answer; stop it at the end."""
    port, *spare = free_ports(3)
    place = Place(folder, port, (spare[0], spare[1]))
    # Filling a cache beforehand is not part of a cold start.
    environment = installation.clean() | server.arrange(place)
    environment |= {"NETWORK_FOLDER": str(installation.NETWORK)} | _quiet()
    if server.environment is not None:
        environment |= {"PYTHONPATH": str(installation.APPLICATIONS)}
        environment["PATH"] = f"{installation.python(server.environment).parent}:/usr/bin:/bin"
    log = folder / LOG
    began = time.monotonic()
    process = processes.start(
        server.command(place), folder=folder, environment=environment, log=log
    )
    try:
        _await(process, server.lanes[0], port, sample, log)
        seconds = time.monotonic() - began
        members = processes.family(process.pid, processes.running())
        busiest = max(processes.cpu_seconds([member]) for member in members)
        cold = Cold(seconds, processes.cpu_seconds(members), busiest)
        yield Started(process, port, spare[0], cold)
    finally:
        processes.stop(process)


def settle(instance: Started) -> None:
    """Wait until it rests: the first worker answers while others still start, or are replaced."""
    deadline = time.monotonic() + SETTLE_SECONDS
    spent = -1.0
    while time.monotonic() < deadline:
        before = spent
        spent = processes.cpu_seconds(processes.family(instance.process.pid, processes.running()))
        if before >= 0 and abs(spent - before) < RESTING_SHARE * REST_SECONDS:
            return
        time.sleep(REST_SECONDS)


def check(lane: Lane, port: int, sample: Sample, *, rows: int = CHECKED) -> None:
    """Send some images, one by one.

    Raises:
        Unfit: an answer is not what the Keras network answered.
    """
    for image, digit in zip(sample.images[:rows], sample.digits[:rows], strict=True):
        try:
            answer = _digit(lane, port, image)
        except (OSError, http.client.HTTPException, ValueError) as error:
            raise Unfit(f"{lane.name}: {error!r}") from None
        except grpc.RpcError as error:
            raise Unfit(f"{lane.name}: {error.code().name}: {error.details()}") from None
        if answer != digit:
            raise Misanswered(f"{lane.name}: answered {answer} for a {digit}")


def _digit(lane: Lane, port: int, image: Images) -> int:
    """What is answered for one image, over a connection of its own.

    Raises:
        Misanswered: it was refused, with a status.
    """
    made = lane.make_request(image)
    if lane.is_grpc:
        with grpc.insecure_channel(f"127.0.0.1:{port}") as channel:
            return digit_of_message(channel.unary_unary(lane.path)(made.body, timeout=60))
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=START_SECONDS)
    connection.request("POST", lane.path, made.body, made.headers)
    response = connection.getresponse()
    body, length = response.read(), response.headers[BINARY_HEADER]
    connection.close()
    if response.status != 200:
        raise Misanswered(f"{lane.name}: answered {response.status}: {body[:300]!r}")
    return digit_of(body, None if length is None else int(length))


def loaded(lane: Lane, instance: Started, sample: Sample, seconds: float) -> load.Tally:
    """Load one lane from another process."""
    port = instance.port_of(lane)
    requests = [
        lane.make_request(image).body if lane.is_grpc else lane.request(image, port=port)
        for image in sample.images
    ]
    order = load.Order(
        port,
        instance.process.pid,
        tuple(request.decode("latin-1") for request in requests),
        CONNECTIONS,
        WARM_SECONDS,
        seconds,
        grpc_method=lane.path if lane.is_grpc else "",
    )
    ended = subprocess.run(
        [sys.executable, "-m", load.__name__],
        input=json.dumps(asdict(order)),
        cwd=installation.ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    if ended.returncode != 0:
        raise Unfit(f"{lane.name}: the load ended: {ended.stderr.strip()[-500:]}")
    return load.Tally(**json.loads(ended.stdout))


def measure_memory(server: Server, instance: Started) -> Memory:
    """The workers are its largest processes; what supervises them is smaller."""
    members = processes.family(instance.process.pid, processes.running())
    resident = processes.resident_mb(members)
    workers = resident[: server.workers]
    return Memory(
        sum(resident), processes.proportional_mb(members), sum(workers) / max(len(workers), 1)
    )


def _await(
    process: "subprocess.Popen[bytes]", lane: Lane, port: int, sample: Sample, log: Path
) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        try:
            return check(lane, port, sample, rows=1)
        except Unfit as error:
            if isinstance(error, Misanswered):
                deadline = min(deadline, time.monotonic() + MISANSWERING_SECONDS)
            if process.poll() is not None:
                raise Unfit(f"ended with {process.returncode}\n{_end(log)}") from None
            if time.monotonic() > deadline:
                raise Unfit(f"no right answer: {error}\n{_end(log)}") from None
            time.sleep(LOOK_SECONDS)


def _end(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").strip().splitlines()[-LOG_LINES:])


def _quiet() -> dict[str, str]:
    """No reports to vendors: what they cost would be counted as answering."""
    return {
        "BENTOML_DO_NOT_TRACK": "True",
        "DO_NOT_TRACK": "1",
        "MLFLOW_DISABLE_TELEMETRY": "true",
    }
