"""Report of the rounds: medians, ratios to ours, a table, the goals, and a results file."""

import json
import os
import platform
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from benchmarks.serving.peers.measure import Round
from benchmarks.serving.peers.servers import GRPC, OURS, Server

HEAD = (
    *("server", "request", "network runs in", "CPU µs a request", "÷ ours", "requests/s"),
    *("p50 ms", "p99 ms", "MB", "MB a worker", "cold start s", "cold start CPU s"),
)
INSTRUCTIONS = ("avx2", "avx512f", "avx512_vnni", "avx_vnni", "amx_int8")


@dataclass(frozen=True)
class Row:
    """One lane of one server: medians of the rounds; `rounds` is its CPU µs in each of them."""

    server: str
    title: str
    lane: str
    runtime: str
    setting: str
    cpu_us: float
    rounds: tuple[float, ...]
    per_second: float
    p50_ms: float
    p99_ms: float
    failures: int
    resident_mb: float
    proportional_mb: float
    worker_mb: float
    cold_seconds: float
    cold_cpu_seconds: float
    cold_worker_cpu_seconds: float


@dataclass(frozen=True)
class Results:
    """One run. `bare`: CPU µs of an inference alone, by runtime; `refused`: who failed how."""

    machine: dict[str, str]
    seconds: float
    bare: dict[str, float]
    rows: tuple[Row, ...]
    refused: dict[str, str]

    def row(self, server: str, lane: str) -> Row | None:
        rows = (row for row in self.rows if (row.server, row.lane) == (server, lane))
        return next(rows, None)

    def encoded(self) -> str:
        return json.dumps(asdict(self), indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def read(cls, path: Path) -> "Results":
        kept = json.loads(path.read_text())
        rows = tuple(Row(**row | {"rounds": tuple(row["rounds"])}) for row in kept.pop("rows"))
        return cls(**kept, rows=rows)


@dataclass(frozen=True)
class Goal:
    """A claim, and its measured value."""

    claim: str
    value: float
    passed: bool


def machine() -> dict[str, str]:
    """What the figures depend on."""
    text = Path("/proc/cpuinfo").read_text()
    name = next((line for line in text.splitlines() if line.startswith("model name")), ": ?")
    flags = next((line for line in text.splitlines() if line.startswith("flags")), "").split()
    return {
        "cpu": name.split(":", 1)[1].strip(),
        "instructions": " ".join(flag for flag in INSTRUCTIONS if flag in flags),
        "cores": str(os.cpu_count()),
        "python": platform.python_version(),
        "measured": datetime.now(UTC).date().isoformat(),
    }


def rows_of(server: Server, rounds: Sequence[Round]) -> list[Row]:
    """A row for each lane that answered in every round."""
    lanes = [lane.name for lane in server.lanes if all(lane.name in r.lanes for r in rounds)]
    return [_row(server, lane, rounds) for lane in lanes]


def _row(server: Server, lane: str, rounds: Sequence[Round]) -> Row:
    tallies = [measured.lanes[lane] for measured in rounds]
    middle = statistics.median
    return Row(
        server=server.name,
        title=server.title,
        lane=lane,
        runtime=server.runtime,
        setting=server.setting,
        cpu_us=middle(tally.cpu_us for tally in tallies),
        rounds=tuple(tally.cpu_us for tally in tallies),
        per_second=middle(tally.per_second for tally in tallies),
        p50_ms=middle(tally.p50_ms for tally in tallies),
        p99_ms=middle(tally.p99_ms for tally in tallies),
        failures=sum(sum(tally.failures.values()) for tally in tallies),
        resident_mb=middle(measured.memory.resident_mb for measured in rounds),
        proportional_mb=middle(measured.memory.proportional_mb for measured in rounds),
        worker_mb=middle(measured.memory.worker_mb for measured in rounds),
        cold_seconds=middle(measured.cold.seconds for measured in rounds),
        cold_cpu_seconds=middle(measured.cold.cpu_seconds for measured in rounds),
        cold_worker_cpu_seconds=middle(measured.cold.worker_cpu_seconds for measured in rounds),
    )


def ratio(row: Row, other: Row) -> float:
    """CPU of one over the other: the median of the rounds' ratios, since rounds differ in noise."""
    if len(row.rounds) != len(other.rounds):
        return row.cpu_us / other.cpu_us
    pairs = zip(row.rounds, other.rounds, strict=True)
    return statistics.median(first / second for first, second in pairs)


def table(results: Results) -> str:
    """Markdown that is aligned, so that it reads as text too; lowest CPU first."""
    ours = results.row(OURS.name, "JSON")
    lines = [HEAD, *(_cells(row, ours) for row in sorted(results.rows, key=lambda r: r.cpu_us))]
    widths = [max(len(line[n]) for line in lines) for n in range(len(HEAD))]
    left = 3
    cells_of_lines = [
        [cell.ljust(w) if n < left else cell.rjust(w) for n, (cell, w) in enumerate(both)]
        for both in (list(zip(line, widths, strict=True)) for line in lines)
    ]
    rule = ["-" * w if n < left else "-" * (w - 1) + ":" for n, w in enumerate(widths)]
    padded = (cells_of_lines[0], rule, *cells_of_lines[1:])
    return "\n".join("| " + " | ".join(cells) + " |" for cells in padded)


def _cells(row: Row, ours: Row | None) -> tuple[str, ...]:
    failed = f" ({row.failures} failed)" if row.failures else ""
    return (
        row.title,
        row.lane,
        row.runtime,
        f"{row.cpu_us:,.0f}{failed}",
        "–" if ours is None else f"{ratio(row, ours):,.2f}",
        f"{row.per_second:,.0f}",
        f"{row.p50_ms:,.1f}",
        f"{row.p99_ms:,.1f}",
        f"{row.resident_mb:,.0f}",
        f"{row.worker_mb:,.0f}",
        f"{row.cold_seconds:.1f}",
        f"{row.cold_cpu_seconds:.1f}",
    )


def goals(results: Results) -> list[Goal]:
    """The goals of docs/performance.md, with the values that this run measured."""
    json_row, binary = results.row(OURS.name, "JSON"), results.row(OURS.name, "binary")
    if json_row is None:
        return []
    peers = [row for row in results.rows if row.server != OURS.name and row.lane != GRPC.name]
    measured: list[Goal] = []
    if peers:
        best = min(peers, key=lambda row: row.cpu_us)
        times = ratio(best, json_row)
        claim = f"best peer ({best.title}, {best.lane}) ÷ ours, CPU of JSON: at least 3"
        measured.append(Goal(claim, times, times >= 3))
    if tutorial := results.row("tutorial", "JSON"):
        times = ratio(tutorial, json_row)
        measured.append(Goal("the tutorials' app ÷ ours: at least 500", times, times >= 500))
    for row, bound in ((json_row, 3.5), (binary, 2.5)):
        if row is not None and (bare := results.bare.get("litert")):
            times = row.cpu_us / bare
            claim = f"ours, {row.lane}, ÷ the bare inference: at most {bound}"
            measured.append(Goal(claim, times, times <= bound))
    worker, cold = json_row.worker_mb, json_row.cold_worker_cpu_seconds
    measured.append(Goal("resident MB a worker: under 120", worker, worker < 120))
    measured.append(Goal("CPU s of a worker until the first answer: under 1", cold, cold < 1))
    return measured


def render(results: Results) -> str:
    """The whole report as text."""
    facts = ", ".join(f"{name} {value}" for name, value in results.machine.items())
    bare = ", ".join(f"{name} {us:,.0f}" for name, us in results.bare.items())
    lines = [table(results), "", f"CPU µs of one inference alone: {bare}", facts, ""]
    lines += [
        f"{'reached' if goal.passed else 'MISSED':8}{goal.value:8.2f}  {goal.claim}"
        for goal in goals(results)
    ]
    if results.refused:
        lines += ["", "Not measured, or not in every round:"]
    lines += [f"{name}: {why}" for name, why in results.refused.items()]
    return "\n".join(lines)


def bare_medians(by_runtime: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: statistics.median(values) for name, values in by_runtime.items() if values}
