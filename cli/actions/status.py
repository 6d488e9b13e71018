"""What `overnight status` tells."""

import json
import sys
from collections.abc import Callable
from typing import Any

from rich.console import Console

from overnight.cli.actions import live_scores, status_notices
from overnight.cli.terminal import new_table, open_console
from overnight.infra import connections
from overnight.infra.prefect_api import Document, PrefectApi
from overnight.infra.settings import Settings, load
from overnight.infra.stack import local_secrets, state_file
from overnight.infra.stack.deployments import TAG
from overnight.store.errors import OvernightError
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Bucket
from overnight.store.registry.aliases import AliasLog
from overnight.store.registry.registry import Registry
from overnight.tasks.data.learned_arrivals import ArrivalVersions

_LAST_RUNS = 10


def run(*, as_json: bool) -> None:
    """Tell what there is; a part that does not answer is told as such, and the rest as it is.

    Raises:
        SystemExit: with 1, when something is not ready.
    """
    settings = load()
    document = gather(settings)
    if as_json:
        print(json.dumps(document, indent=2))
    else:
        _show(document, open_console())
    sys.exit(0 if document["ready"] and not document["problems"] else 1)


def gather(settings: Settings) -> Document:
    """Everything `--json` tells: readiness, problems, services, addresses, models, runs."""
    shown = state_file.read(settings.home)
    problems: list[str] = []
    bucket = S3Bucket(connections.address(settings), tries=1)
    api = connections.prefect(settings, timeout_seconds=5)
    if settings.trusted_keys.exists():
        lines = status_notices.unloadable_champions(bucket, connections.trust(settings))
        _unless(problems, lambda: problems.extend(lines), None)
    return {
        "ready": shown.ready,
        "home": str(settings.home),
        "supervised": shown.supervised,
        "services": [
            service.model_dump(mode="json", exclude={"fingerprint"}) for service in shown.services
        ],
        "addresses": {
            "serving": settings.answers_url,
            "prefect": settings.api_url.removesuffix("/api"),
            "store": settings.store_endpoint,
        },
        "administration": local_secrets.admin_token_location(settings),
        "models": _unless(problems, lambda: _models(bucket, settings), {}),
        "runs": _unless(problems, lambda: _runs(api), []),
        "problems": problems,
    }


def _unless(problems: list[str], ask: Callable[[], Any], otherwise: Any) -> Any:
    try:
        return ask()
    except OvernightError as error:
        if str(error) not in problems:
            problems.append(str(error))
        return otherwise


def _models(bucket: Bucket, settings: Settings) -> Document:
    def came(model: str) -> ArrivalVersions:
        from overnight.store.datasets.delta_table import (
            Dataset,  # slow to import, and seldom needed
        )

        return Dataset.on_s3(connections.address(settings), model, "rows").arrival_versions()

    return {model: _champion(bucket, model, came) for model in Registry(bucket).models()}


def _champion(bucket: Bucket, model: str, came: Callable[[str], ArrivalVersions]) -> Document:
    log = AliasLog(bucket, model)
    current = log.current()
    waiting = status_notices.pending_reviews(bucket, model, lambda: came(model))
    if current is None:
        nobody: Document = dict.fromkeys(("champion", "challenger", "live"))
        return nobody | {"acknowledgements": [], "waiting": waiting}
    said = log.acknowledgements(current.sequence)
    return {
        "champion": current.model_dump(
            mode="json", exclude={"format", "id", "terms", "champion_sequence"}
        ),
        "challenger": status_notices.challenge(bucket, model),
        "acknowledgements": [one.model_dump(mode="json") for one in said],
        "live": live_scores.newest(bucket, model, current.version),
        "waiting": waiting,
    }


def _runs(api: PrefectApi) -> list[Document]:
    found = api.filter(
        "/flow_runs",
        flow_runs={"tags": {"all_": [TAG]}, "state": {"type": {"not_any_": ["SCHEDULED"]}}},
        sort="EXPECTED_START_TIME_DESC",
        limit=_LAST_RUNS,
    )
    return [
        {
            "name": run["name"],
            "id": run["id"],
            "flow": _kind(run),
            "state": run["state_name"],
            "type": run["state_type"],
            "message": (run["state"] or {}).get("message"),
            "started": run["start_time"],
            "seconds": round(run["total_run_time"], 1),
        }
        for run in found
    ]


def _kind(run: Document) -> str:
    """`retrain/digits`: the flow is a tag of its deployment, the model a parameter of the run."""
    kinds = {"retrain", "ingest", "accept", "promote", "rollback", "challenge"}
    kinds |= {"reproduce", "tune"}
    flow = next((tag for tag in run["tags"] if tag in kinds), "?")
    return f"{flow}/{run['parameters'].get('model', '?')}"


def _show(document: Document, console: Console) -> None:
    services = new_table("service", "state", "address", "restarts", "")
    for one in document["services"]:
        row = (one["title"], one["condition"], one["address"], str(one["restarts"]))
        services.add_row(*row, one["message"])
    console.print(services if document["services"] else "no service of this home was started yet")
    if document["services"] and not document["supervised"]:
        console.print("nobody keeps them alive: run `overnight up`")
    console.print(f"token for administration: {document['administration']}")
    champions = new_table("model", "champion", "since", "by", "reason", "acknowledged by")
    for model, told in document["models"].items():
        champion = told["champion"] or dict.fromkeys(("version", "at", "by", "reason"), "—")
        said = ", ".join(
            one["replica"] + ("" if one["serving"] else f" refused: {one['reason']}")
            for one in told["acknowledgements"]
        )
        words = (champion["version"], champion["at"][:19], champion["by"], champion["reason"])
        champions.add_row(model, *words, said or "—")
    if document["models"]:
        console.print(champions)
    for model, told in document["models"].items():
        _show_beside(model, told, console)
    runs = new_table("run", "what", "state", "seconds", "message")
    for one in document["runs"]:
        words = (one["name"], one["flow"], one["state"], f"{one['seconds']}")
        runs.add_row(*words, (one["message"] or "")[:100])
    if document["runs"]:
        console.print(runs)
    for problem in document["problems"]:
        console.print(problem, style="red")


def _show_beside(model: str, told: Document, console: Console) -> None:
    """How the champion does on what arrives, what challenges it, and what waits for a person."""
    if told["live"]:
        console.print(live_scores.line(model, told["live"]), markup=False)
    if told["challenger"]:
        console.print(status_notices.challenge_line(model, told["challenger"]), markup=False)
    for held in told["waiting"]:
        for line in status_notices.review_lines(model, held):
            console.print(line, markup=False)
