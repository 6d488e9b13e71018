"""A steady client in a process of its own: `python benchmarks/serving/steady.py PORT RATE SECONDS`.

Sends one image as binary tensors at a fixed rate, whatever happens, over a few kept connections,
and prints for each request when it was due, how long after that it was answered, and its status.
Counted from when it was due, a stall of the server delays all requests that were due meanwhile
(no coordinated omission).
"""

import json
import select
import socket
import sys
import time
from collections import deque

CONNECTIONS = 16
PATIENCE_SECONDS = 10.0


def request(model: str = "digits") -> bytes:
    tensor = {
        "name": "image",
        "shape": [1, 28, 28],
        "datatype": "UINT8",
        "parameters": {"binary_data_size": 784},
    }
    text = json.dumps({"inputs": [tensor]}).encode()
    head = (
        f"POST /v2/models/{model}/infer HTTP/1.1\r\nHost: bench\r\n"
        "Content-Type: application/octet-stream\r\n"
        f"Inference-Header-Content-Length: {len(text)}\r\n"
        f"Content-Length: {len(text) + 784}\r\n\r\n"
    )
    return head.encode() + text + bytes(range(256)) * 3 + bytes(16)


def is_whole(received: bytes) -> bool:
    head, blank, body = received.partition(b"\r\n\r\n")
    if not blank:
        return False
    length = int(head.lower().split(b"content-length:")[1].split(b"\r\n")[0])
    return len(body) >= length


def run(port: int, rate: float, seconds: float) -> list[tuple[float, float, int]]:
    """(monotonic seconds at which it was due, seconds until it was answered, status or 0)."""
    sent = request()
    poll, idle = select.epoll(), deque[socket.socket]()
    busy: dict[int, tuple[socket.socket, float, bytes]] = {}
    for _ in range(CONNECTIONS):
        idle.append(socket.create_connection(("127.0.0.1", port)))
        idle[-1].setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        poll.register(idle[-1].fileno(), select.EPOLLIN)
    began, sent_count, done = time.monotonic(), 0, []
    total = int(rate * seconds)
    while len(done) < total and time.monotonic() < began + seconds + PATIENCE_SECONDS:
        due = began + sent_count / rate
        while idle and sent_count < total and due <= time.monotonic():
            connection = idle.popleft()
            connection.sendall(sent)
            busy[connection.fileno()] = (connection, due, b"")
            sent_count += 1
            due = began + sent_count / rate
        rest = max(due - time.monotonic(), 0) if idle and sent_count < total else 0.05
        for descriptor, _ in poll.poll(rest):
            connection, due, received = busy[descriptor]
            received += connection.recv(65_536)
            if is_whole(received):
                done.append((due, time.monotonic() - due, int(received[9:12])))
                idle.append(connection)
                del busy[descriptor]
            else:
                busy[descriptor] = (connection, due, received)
    return done + [(due, PATIENCE_SECONDS, 0) for _, due, _ in busy.values()]


if __name__ == "__main__":
    port, rate, seconds = int(sys.argv[1]), float(sys.argv[2]), float(sys.argv[3])
    print(json.dumps(run(port, rate, seconds)))
