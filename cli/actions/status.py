"""`overnight status`: services, addresses, champions and recent runs."""

import json
import sys
from collections.abc import Callable, Iterator
from typing import Any

from rich.console import Console

from overnight.cli.actions import live_scores, status_notices
from overnight.cli.actions.monitoring import monitor
from overnight.cli.actions.run_table import print_runs
from overnight.cli.runs import listing
from overnight.cli.terminal import format_time, new_table, open_console
from overnight.cli.version_names import ShortNames, version_names
from overnight.cli.watch import watch
from overnight.infra import connections
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack import held_runs, local_secrets, state_file
from overnight.infra.stack.prefect_services import ui_url
from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.tasks.data.learned_arrivals import ArrivalVersions

_LAST_RUNS = 10
_NO_RUNS: Document = {"runs": [], "waiting_runs": [], "paused_schedules": []}


def run(*, as_json: bool, watching: bool = False) -> None:
    """Print the status; a part that does not answer is listed as a problem, and the rest is stack.

    Raises:
        SystemExit: with 1, when something is not ready.
        WrongArgument: `watching`, and the output is no terminal.
    """
    settings = load()
    if watching:
        console = open_console()
        watch(lambda: show(gather(settings), console), console)
        return
    document = gather(settings)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        console = open_console()
        show(document, console)
        status_notices.print_sign_in(settings, console)
    sys.exit(0 if document["ready"] and not document["problems"] else 1)


def gather(settings: Settings) -> Document:
    """The status as JSON: readiness, problems, services, addresses, models, runs."""
    stack = state_file.read(settings.home)
    problems: list[str] = []
    # One try and a short timeout: a store or server that is down must not make people wait.
    bucket = S3Bucket(connections.address(settings), tries=1)
    api = connections.prefect(settings, timeout_seconds=5)
    if settings.trusted_keys.exists():
        lines = status_notices.unloadable_champions(bucket, connections.trust(settings))
        _or_problem(problems, lambda: problems.extend(lines), None)
    return {
        "ready": stack.ready,
        "home": str(settings.home),
        "supervised": stack.supervised,
        "services": [
            service.model_dump(mode="json", exclude={"fingerprint"}) for service in stack.services
        ],
        "addresses": {
            "serving": settings.answers_url,
            "serving_grpc": settings.grpc_address,
            "prefect": settings.api_url.removesuffix("/api"),
            "store": settings.store_endpoint,
        },
        "administration": local_secrets.admin_token_location(settings),
        "models": {
            name: of_model(bucket, settings, name, problems)
            for name in _or_problem(problems, lambda: Registry(bucket).models(), ())
        },
        **_or_problem(problems, lambda: _runs_and_pauses(api, settings, problems), _NO_RUNS),
        "problems": problems,
    }


def _or_problem(problems: list[str], read: Callable[[], Any], default: Any) -> Any:
    try:
        return read()
    except OvernightError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return default


def of_model(bucket: Bucket, settings: Settings, model: str, problems: list[str]) -> Document:
    """The champion of a model with its acknowledgements, and what is reported besides it.

    What cannot be read is a problem, and hides nothing else.
    """

    def arrival_versions() -> ArrivalVersions:
        # Slow to import, and needed only when an arrival waits for review.
        from overnight.store.datasets.delta_table import Dataset

        return Dataset.on_s3(connections.address(settings), model, "rows").arrival_versions()

    registry = ModelRegistry(bucket, model, connections.known_trust(settings))
    log = registry.champion
    current = _or_problem(problems, log.current, None)
    if problem := _or_problem(problems, lambda: status_notices.uncounted(log), ""):
        problems.append(problem)
    waiting = _or_problem(
        problems, lambda: status_notices.pending_reviews(bucket, model, arrival_versions), []
    )
    monitored, damaged = _or_problem(
        problems, lambda: monitor.newest(bucket, model), (None, list[str]())
    )
    problems += damaged
    names = _or_problem(problems, lambda: version_names(bucket, model), [])
    common: Document = {
        "waiting": waiting,
        "pending": _or_problem(
            problems, lambda: status_notices.pending_versions(registry, names), []
        ),
        "versions": names,
        "monitoring": monitored,
    }
    if current is None:
        empty: Document = dict.fromkeys(("champion", "challenger", "live"))
        return empty | common | {"acknowledgements": []}
    return {
        "champion": current.model_dump(
            mode="json", exclude={"format", "id", "terms", "champion_sequence", "signed"}
        ),
        "challenger": _or_problem(problems, lambda: status_notices.challenge(registry), None),
        "acknowledgements": [
            acknowledgement.model_dump(mode="json")
            for acknowledgement in log.acknowledgements(current.sequence)
        ],
        "live": _or_problem(
            problems, lambda: live_scores.newest(bucket, model, current.version), None
        ),
        **common,
    }


def _runs_and_pauses(api: PrefectApi, settings: Settings, problems: list[str]) -> Document:
    """The last runs, those that are due and have not begun, and what is paused.

    A paused pool is a problem, because no run begins; a paused schedule may be intended.
    """
    problems += held_runs.pauses(api, settings.work_pool, ui=ui_url(settings))
    return {
        "runs": listing.recent(api, limit=_LAST_RUNS),
        "waiting_runs": [
            {
                "name": run["name"],
                "id": run["id"],
                "flow": listing.flow_and_model(run),
                "state": run["state_name"],
                "since": run["expected_start_time"],
            }
            for run in held_runs.due(api, settings.work_pool)
        ],
        "paused_schedules": list(held_runs.paused_schedules(api)),
    }


def show(document: Document, console: Console) -> None:
    """Print the status as tables, and what else there is to say in lines below them."""
    _show_services(document, console)
    _show_champions(document, console)
    for model, status in document["models"].items():
        for line in notices(model, status, _short_names(status, console)):
            console.print(line)
    _show_runs(document, console)
    for problem in document["problems"]:
        console.print(problem, style="red")


def _show_services(document: Document, console: Console) -> None:
    messages = any(service["message"] for service in document["services"])
    services = new_table(
        "service", "state", "address", "restarts", *(["message"] if messages else [])
    )
    for service in document["services"]:
        cells = (service["title"], service["condition"], service["address"])
        services.add_row(
            *cells, str(service["restarts"]), *([service["message"]] if messages else [])
        )
        if service["grpc_address"]:
            services.add_row(f"{service['title']}, gRPC", "", service["grpc_address"])
    console.print(services if document["services"] else "no service of this home was started yet")
    if document["services"] and not document["supervised"]:
        console.print("no supervisor restarts them: run `overnight up`")
    console.print(f"token for administration: {document['administration']}", soft_wrap=True)


def _show_champions(document: Document, console: Console) -> None:
    champions = new_table("model", "champion", "since (UTC)", "by", "reason", "acknowledged by")
    for model, status in document["models"].items():
        champion = status["champion"]
        if champion is None:
            champions.add_row(model, "none", "", "", "", "")
            continue
        replicas = ", ".join(
            replica["replica"] + ("" if replica["serving"] else f" refused: {replica['reason']}")
            for replica in status["acknowledgements"]
        )
        champions.add_row(
            model,
            _short_names(status, console)(champion["version"]),
            format_time(champion["at"]),
            champion["by"],
            champion["reason"],
            replicas or "nobody",
        )
    if document["models"]:
        console.print(champions)


def _short_names(status: Document, console: Console) -> ShortNames:
    return ShortNames(status["versions"] if console.is_terminal else None)


def _show_runs(document: Document, console: Console) -> None:
    """The runs that wait, the last ones, and the schedules that are paused."""
    waiting = [
        {**run, "message": "has not begun", "started": run["since"], "seconds": None}
        for run in document["waiting_runs"]
    ]
    runs = [*waiting, *document["runs"]]
    if runs:
        print_runs(runs, console)
    for schedule in document["paused_schedules"]:
        console.print(schedule, style="yellow")


def notices(model: str, status: Document, short: ShortNames) -> Iterator[str]:
    """The monitor, the live score, the challenge, and what waits for a person."""
    if status["monitoring"]:
        yield monitor.status_line(model, status["monitoring"])
    if status["live"]:
        yield live_scores.line(model, status["live"])
    if status["challenger"]:
        yield status_notices.challenge_line(model, status["challenger"], short)
    for version in status["pending"]:
        yield (
            f"{model}: {short(version)} waits for approval: overnight approve {model} "
            f"{short(version)}, or overnight reject {model} {short(version)} --reason …"
        )
    for review in status["waiting"]:
        yield from status_notices.review_lines(model, review)
