"""`overnight status`: services, addresses, champions and recent runs."""

import json
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Any

from rich.console import Console

from overnight.cli.actions import live_scores, status_notices
from overnight.cli.actions.monitoring import monitor
from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import TAG, Document, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack import held_runs, local_secrets, state_file
from overnight.infra.stack.prefect_services import ui_url
from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.registry import ModelRegistry, Registry
from overnight.tasks import outcomes
from overnight.tasks.data.learned_arrivals import ArrivalVersions

_LAST_RUNS = 10
_NO_RUNS: Document = {"runs": [], "waiting_runs": [], "paused_schedules": []}
_FLOWS = {
    "retrain",
    "ingest",
    "accept",
    "promote",
    "rollback",
    "challenge",
    "reproduce",
    "tune",
    "notify",
    "summary",
    "monitor",
}


def run(*, as_json: bool) -> None:
    """Print the status; a part that does not answer is listed as a problem, and the rest is stack.

    Raises:
        SystemExit: with 1, when something is not ready.
    """
    settings = load()
    document = gather(settings)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        console = open_console()
        _show(document, console)
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
    if current is None:
        empty: Document = dict.fromkeys(("champion", "challenger", "live"))
        return empty | {"acknowledgements": [], "waiting": waiting, "monitoring": monitored}
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
        "waiting": waiting,
        "monitoring": monitored,
    }


def _runs_and_pauses(api: PrefectApi, settings: Settings, problems: list[str]) -> Document:
    """The last runs, those that are due and have not begun, and what is paused.

    A paused pool is a problem, because no run begins; a paused schedule may be intended.
    """
    problems += held_runs.pauses(api, settings.work_pool, ui=ui_url(settings))
    return {
        "runs": _runs(api),
        "waiting_runs": [
            {
                "name": run["name"],
                "id": run["id"],
                "flow": _flow_and_model(run),
                "state": run["state_name"],
                "since": run["expected_start_time"],
            }
            for run in held_runs.due(api, settings.work_pool)
        ],
        "paused_schedules": list(held_runs.paused_schedules(api)),
    }


def _runs(api: PrefectApi) -> list[Document]:
    runs = api.filter(
        "/flow_runs",
        flow_runs={"tags": {"all_": [TAG]}, "state": {"type": {"not_any_": ["SCHEDULED"]}}},
        sort="EXPECTED_START_TIME_DESC",
        limit=_LAST_RUNS,
    )
    ends = [outcomes.of_state(run["state"]) for run in runs]
    return [
        {
            "name": run["name"],
            "id": run["id"],
            "flow": _flow_and_model(run),
            "state": end.outcome,
            "type": run["state_type"],
            "message": end.message or None,
            "started": run["start_time"],
            "seconds": _seconds(run, datetime.now(UTC)),
        }
        for run, end in zip(runs, ends, strict=True)
    ]


def _seconds(run: Document, now: datetime) -> float:
    """How long a run took, or since when it runs: Prefect counts that only when it has ended."""
    if run["state_type"] == "RUNNING" and run["start_time"]:
        return round((now - datetime.fromisoformat(run["start_time"])).total_seconds(), 1)
    return round(float(run["total_run_time"]), 1)


def _flow_and_model(run: Document) -> str:
    """`retrain/digits`: the flow is a tag of its deployment, the model a parameter of the run.

    Of a flow that is about no single model, such as `summary`, its name alone.
    """
    flow = next((tag for tag in run["tags"] if tag in _FLOWS), "?")
    model = run["parameters"].get("model")
    return f"{flow}/{model}" if model else flow


def _show(document: Document, console: Console) -> None:
    services = new_table("service", "state", "address", "restarts", "")
    for service in document["services"]:
        services.add_row(
            service["title"],
            service["condition"],
            service["address"],
            str(service["restarts"]),
            service["message"],
        )
    console.print(services if document["services"] else "no service of this home was started yet")
    if document["services"] and not document["supervised"]:
        console.print("no supervisor restarts them: run `overnight up`")
    console.print(f"token for administration: {document['administration']}")
    champions = new_table("model", "champion", "since", "by", "reason", "acknowledged by")
    for model, status in document["models"].items():
        champion = status["champion"] or dict.fromkeys(("version", "at", "by", "reason"), "—")
        replicas = ", ".join(
            replica["replica"] + ("" if replica["serving"] else f" refused: {replica['reason']}")
            for replica in status["acknowledgements"]
        )
        champions.add_row(
            model,
            champion["version"],
            champion["at"][:19],
            champion["by"],
            champion["reason"],
            replicas or "—",
        )
    if document["models"]:
        console.print(champions)
    for model, status in document["models"].items():
        for line in _notices(model, status):
            console.print(line)
    _show_runs(document, console)
    for problem in document["problems"]:
        console.print(problem, style="red")


def _show_runs(document: Document, console: Console) -> None:
    """The runs that wait, the last ones, and the schedules that are paused."""
    runs = new_table("run", "flow", "state", "seconds", "message")
    for run in document["waiting_runs"]:
        runs.add_row(run["name"], run["flow"], run["state"], "", f"waits since {run['since'][:19]}")
    for run in document["runs"]:
        message = (run["message"] or "")[:100]
        runs.add_row(run["name"], run["flow"], run["state"], f"{run['seconds']}", message)
    if document["runs"] or document["waiting_runs"]:
        console.print(runs)
    for schedule in document["paused_schedules"]:
        console.print(schedule, style="yellow")


def _notices(model: str, status: Document) -> Iterator[str]:
    """The monitor, the live score, the challenge, and the arrivals that wait for review."""
    if status["monitoring"]:
        yield monitor.status_line(model, status["monitoring"])
    if status["live"]:
        yield live_scores.line(model, status["live"])
    if status["challenger"]:
        yield status_notices.challenge_line(model, status["challenger"])
    for review in status["waiting"]:
        yield from status_notices.review_lines(model, review)
