"""A stub of Prefect's API on a port: runs, their logs and their steps, filtered as Prefect does."""

import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from overnight.infra.prefect_api import PrefectApi


def flow_run(
    number: int, *, model: str | None = "digits", flow: str = "retrain", message: str = "Promoted"
) -> dict[str, Any]:
    """A run that has ended; a greater number is a newer one."""
    return {
        "id": f"0199c7d2-{number:04d}-7c11-9b52-0242ac120002",
        "name": f"{model} run {number}",
        "state": {"type": "COMPLETED", "name": "Completed", "message": message},
        "state_type": "COMPLETED",
        "parameters": {"model": model} if model else {},
        "tags": ["overnight", flow],
        "start_time": f"2026-11-22T02:{number:02d}:00+00:00",
        "total_run_time": 12.3,
    }


@contextmanager
def prefect_of(
    runs: Sequence[Mapping[str, Any]],
    *,
    logs: Sequence[Mapping[str, Any]] = (),
    steps: Sequence[Mapping[str, Any]] = (),
) -> Iterator[PrefectApi]:
    """A server with these runs, newest first, and one log."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            wanted = self.path.rpartition("/")[2]
            self._answer(next((run for run in runs if run["id"] == wanted), None))

        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            tags = set(body.get("flow_runs", {}).get("tags", {}).get("all_", ()))
            rows: Sequence[Mapping[str, Any]] = {
                "/api/flow_runs/filter": [run for run in runs if tags <= set(run["tags"])],
                "/api/logs/filter": logs,
                "/api/task_runs/filter": steps,
            }[self.path]
            offset = body.get("offset", 0)
            self._answer(rows[offset : offset + body.get("limit", 200)])

        def _answer(self, content: Any) -> None:
            self.send_response(404 if content is None else 200)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(content).encode())

        def log_message(self, *_: object) -> None:
            """Log nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield PrefectApi(f"http://127.0.0.1:{server.server_port}/api")
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
