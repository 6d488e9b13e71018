"""`python -m benchmarks.serving.peers`: see the package for what is measured how."""

import argparse
import signal
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

from benchmarks.serving import peers
from benchmarks.serving.peers import installation, network, report
from benchmarks.serving.peers.measure import Round, Unfit, measure
from benchmarks.serving.peers.picture import draw
from benchmarks.serving.peers.servers import Server, chosen

# Which environment runs each runtime without a server around it.
BARE = {"litert": Path(sys.executable), "onnx": installation.python("litserve")}


def main() -> int:
    """Build, measure, tell; exit code 0 done, 1 nothing could be measured, 2 wrong usage."""
    arguments = _arguments()
    # Ending the benchmark also ends the server that it has started.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    if arguments.show is not None:
        results = report.Results.read(arguments.show)
    else:
        try:
            results = _measured(arguments)
        except installation.Unbuilt as error:
            print(f"peers: the network could not be made: {error}", file=sys.stderr)
            return 1
        arguments.results.parent.mkdir(parents=True, exist_ok=True)
        arguments.results.write_text(results.encoded())
    print(report.render(results))
    if results.rows and arguments.picture is not None:
        draw(results, arguments.picture)
    return 0 if results.rows else 1


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.serving.peers",
        description=peers.__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--seconds", type=float, default=5, help="of load a lane (5)")
    parser.add_argument("--rounds", type=int, default=3, help="of which medians are taken (3)")
    parser.add_argument("--only", default="", metavar="NAMES", help="as in overnight,kserve")
    parser.add_argument("--results", type=Path, metavar="FILE", help="by default in .venv/peers")
    parser.add_argument("--picture", type=Path, metavar="FILE.svg")
    parser.add_argument("--show", type=Path, metavar="FILE", help="tell earlier results again")
    parser.add_argument(
        "--quick", action="store_true", help="one round, of those whose environment is there"
    )
    arguments = parser.parse_args()
    if arguments.quick:
        arguments.rounds, arguments.seconds = 1, min(arguments.seconds, 2)
    kept = installation.PLACE / ("quick.json" if arguments.quick else "results.json")
    arguments.results = arguments.results or kept
    if arguments.rounds < 1 or arguments.seconds <= 0:
        parser.error("--rounds and --seconds must be above zero")
    try:
        arguments.servers = chosen([name for name in arguments.only.split(",") if name])
    except ValueError as error:
        parser.error(str(error))
    return arguments


def _measured(arguments: argparse.Namespace) -> report.Results:
    servers: list[Server] = arguments.servers
    refused: dict[str, str] = {}
    if arguments.quick:
        installation.prepare()
        absent = [server.name for server in servers if server.environment and not _is_there(server)]
        refused = dict.fromkeys(absent, "its environment is not installed (--quick)")
    else:
        needed = {server.environment for server in servers if server.environment}
        # Servers that run ONNX need the environment that writes it; the bare inference has one too.
        needed |= {installation.ONNX_WRITER, "litserve"} if needed else set()
        failed = installation.build(sorted(needed))
        refused = {
            server.name: failed[server.environment]
            for server in servers
            if server.environment in failed
        }
    bare, rounds = _rounds(servers, refused, arguments)
    rows = [
        row
        for server in servers
        if rounds[server.name]
        for row in report.rows_of(server, rounds[server.name])
    ]
    return report.Results(
        report.machine(), arguments.seconds, report.bare_medians(bare), tuple(rows), refused
    )


def _is_there(server: Server) -> bool:
    return server.environment is not None and installation.is_built(server.environment)


def _rounds(
    servers: list[Server], refused: dict[str, str], arguments: argparse.Namespace
) -> tuple[dict[str, list[float]], dict[str, list[Round]]]:
    """All servers in turns, as often as there are rounds; notes in `refused` who failed how."""
    bare: dict[str, list[float]] = defaultdict(list)
    rounds: dict[str, list[Round]] = defaultdict(list)
    sample = network.sample(installation.NETWORK)
    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    console = Console(stderr=True)
    with Progress(
        *columns, console=console, refresh_per_second=1, disable=not console.is_terminal
    ) as progress:
        task = progress.add_task("")
        for number in range(1, arguments.rounds + 1):
            progress.update(task, description=f"round {number}: the network alone")
            for runtime in BARE:
                bare[runtime] += _bare(runtime)
            for server in servers:
                if server.name in refused:
                    continue
                progress.update(task, description=f"round {number}: {server.title}")
                try:
                    measured_round = measure(server, sample, seconds=arguments.seconds)
                    rounds[server.name].append(measured_round)
                    for lane, why in measured_round.refused.items():
                        refused[f"{server.name}, {lane}"] = why
                except Unfit as error:
                    refused[server.name] = str(error)
    return bare, rounds


def _bare(runtime: str) -> list[float]:
    """CPU µs of one inference, in a list that is empty where the runtime is not installed."""
    if not BARE[runtime].exists():
        return []
    paths = {
        "PYTHONPATH": str(installation.APPLICATIONS),
        "NETWORK_FOLDER": str(installation.NETWORK),
    }
    ended = subprocess.run(
        [str(BARE[runtime]), str(installation.APPLICATIONS / "bare.py"), runtime, "2"],
        env=installation.clean() | paths,
        capture_output=True,
        text=True,
        check=False,
    )
    return [float(ended.stdout)] if ended.returncode == 0 else []


if __name__ == "__main__":
    sys.exit(main())
