"""Claim: a prediction over gRPC costs at most 1.15 times a bare servicer, plus the inference.

    python -m benchmarks.serving.grpc [SECONDS]

CPU microseconds a request, of one worker that is asked for one raw image, compared with grpcio's
own server and a servicer that returns a constant, made of NVIDIA Triton's generated messages. Both
are asked by the same client, in turns, and ratios are within a round; CPU time is that of the whole
process. The network in both columns is the tiny one, whose time alone is measured as well.
"""

import statistics
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from benchmarks.serving.overhead import FILES, MANIFEST, bare_network
from benchmarks.serving.peers import processes
from tests.support.s3_server import free_ports
from tests.support.serving import bundles
from tests.support.serving.server_process import ROOT, run_serving
from tests.support.waiting import until

SECONDS = float(sys.argv[1]) if len(sys.argv) > 1 else 2.0
ROUNDS, IN_FLIGHT = 7, 4
MOST = 1.15

BARE = """
import sys
from concurrent.futures import ThreadPoolExecutor
import grpc
from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc as rpc
ANSWER = pb.ModelInferResponse(model_name="digits", raw_output_contents=[b"0" * 40])
ANSWER.outputs.add(name="probabilities", datatype="FP32", shape=[1, 10])
class Servicer(rpc.GRPCInferenceServiceServicer):
    def ModelInfer(self, request, context):
        return ANSWER
server = grpc.server(ThreadPoolExecutor(64))
rpc.add_GRPCInferenceServiceServicer_to_server(Servicer(), server)
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
"""
CLIENT = """
import sys, time, threading
import grpc
from tritonclient.grpc import service_pb2 as pb, service_pb2_grpc as rpc
port, seconds, in_flight = sys.argv[1], float(sys.argv[2]), int(sys.argv[3])
request = pb.ModelInferRequest(model_name="digits", raw_input_contents=[bytes(784)])
request.inputs.add(name="image", datatype="UINT8", shape=[1, 28, 28])
request.outputs.add(name="probabilities")
stub = rpc.GRPCInferenceServiceStub(grpc.insecure_channel(f"127.0.0.1:{port}"))
answers = [0] * in_flight
end = time.monotonic() + seconds
def send(place):
    while time.monotonic() < end:
        stub.ModelInfer(request, timeout=30)
        answers[place] += 1
threads = [threading.Thread(target=send, args=(place,)) for place in range(in_flight)]
[thread.start() for thread in threads], [thread.join() for thread in threads]
print(sum(answers))
"""


def send(port: int, seconds: float) -> int:
    """How many requests were answered."""
    command = [sys.executable, "-c", CLIENT, str(port), str(seconds), str(IN_FLIGHT)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def is_answering(port: int) -> bool:
    try:
        return send(port, 0.05) > 0
    except subprocess.CalledProcessError:
        return False


@contextmanager
def bare() -> Iterator[tuple[int, int]]:
    """Port and process of a servicer that returns a constant."""
    (port,) = free_ports(1)
    process = subprocess.Popen([sys.executable, "-c", BARE, str(port)], cwd=ROOT)
    try:
        until(lambda: is_answering(port), what="the bare servicer answers")
        yield port, process.pid
    finally:
        process.terminate()
        process.wait(20)


@contextmanager
def ours(home: Path) -> Iterator[tuple[int, int]]:
    """Port and first process of one worker of serving, on the bundle alone."""
    folder = bundles.folder(home / "bundle", 1, FILES)
    (folder / "manifest.json").write_bytes(MANIFEST.encoded())
    (port,) = free_ports(1)
    arguments = ("--rehearse", str(folder), "--grpc-port", str(port))
    with run_serving(*arguments, place=home) as serving:
        until(lambda: is_answering(port), what="serving answers")
        yield port, serving.process.pid


def cpu_us(port: int, leader: int) -> float:
    """CPU microseconds of a request, of all processes of a server."""
    send(port, 0.3)
    before = processes.cpu_seconds(processes.family(leader, processes.running()))
    answers = send(port, SECONDS)
    after = processes.cpu_seconds(processes.family(leader, processes.running()))
    return (after - before) / answers * 1e6


def main() -> None:
    with tempfile.TemporaryDirectory() as place, ExitStack() as stack:
        servers = stack.enter_context(bare()), stack.enter_context(ours(Path(place)))
        rounds = [(bare_network(), *(cpu_us(*server) for server in servers)) for _ in range(ROUNDS)]
    network, constant, whole = (statistics.median(column) for column in zip(*rounds, strict=True))
    ratio = statistics.median((ours - network) / bare for network, bare, ours in rounds)
    print(f"{'':32}{'CPU µs':>8}")
    print(f"{'the bare network':32}{network:8.0f}")
    print(f"{'a servicer that returns a constant':32}{constant:6.0f}")
    print(f"{'overnight':32}{whole:8.0f}")
    print(f"without the network, x the servicer: {ratio:.2f}, expected at most {MOST}")


if __name__ == "__main__":
    main()
