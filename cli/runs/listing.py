"""Runs of Prefect: the latest of all models or of one, and the one that a person names."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any
from uuid import UUID

from overnight.cli.errors import AmbiguousRun, UnknownRun
from overnight.infra.prefect_api import TAG, Document, PrefectApi
from overnight.tasks import outcomes

FLOWS = (
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
    "score",
)
# Prefect returns at most so many at once.
_PAGE = 200
# Runs of one model are looked for among so many of the newest of all.
_SEARCHED = 1_000
# The first two parts of an id are its time in milliseconds where Prefect makes it (UUID version 7).
_SHORT_ID = 13


def recent(
    api: PrefectApi, *, limit: int, model: str | None = None, flow: str | None = None
) -> list[Document]:
    """The newest runs that have begun, as JSON; of one model or flow where these are given.

    Raises:
        OrchestratorUnavailable, OrchestratorRefused
    """
    searched = limit if model is None else _SEARCHED
    chosen = []
    for run in _runs(api, searched, tags=[flow] if flow else []):
        if model in {None, model_of(run)}:
            chosen.append(to_json(run))
        if len(chosen) == limit:
            break
    return chosen


def find(api: PrefectApi, text: str, *, flow: str | None = None) -> Document:
    """The run of an id, of the beginning of one, of a name; or the last run of a model.

    Raises:
        UnknownRun: there is none among the latest.
        AmbiguousRun: several ids begin so.
        OrchestratorUnavailable, OrchestratorRefused
    """
    if _is_id(text) and (run := api.find(f"/flow_runs/{text}")) is not None:
        return to_json(run)
    runs = list(_runs(api, _SEARCHED, tags=[flow] if flow else []))
    if own := next((run for run in runs if text in {model_of(run), run["name"]}), None):
        return to_json(own)
    fitting = [run for run in runs if text and run["id"].startswith(text.lower())]
    if not fitting:
        raise UnknownRun(text)
    if len(fitting) > 1:
        raise AmbiguousRun(text, [run["id"] for run in fitting])
    return to_json(fitting[0])


def to_json(run: Document) -> Document:
    """What people and programs want to know of a run."""
    end = outcomes.of_state(run["state"])
    return {
        "name": run["name"],
        "id": run["id"],
        "flow": flow_and_model(run),
        "state": end.outcome,
        "type": run["state_type"],
        "message": end.message or None,
        "started": run["start_time"],
        "seconds": duration(run, datetime.now(UTC)),
    }


def flow_and_model(run: Document) -> str:
    """`retrain/digits`: the flow is a tag of its deployment, the model a parameter of the run.

    Of a flow that is about no single model, such as `summary`, its name alone.
    """
    flow = next((tag for tag in run["tags"] if tag in FLOWS), "?")
    model = model_of(run)
    return f"{flow}/{model}" if model else flow


def model_of(run: Document) -> str | None:
    """The model that a run is about, if it is about one."""
    model: str | None = (run["parameters"] or {}).get("model")
    return model


def short_ids(ids: Iterable[str]) -> dict[str, str]:
    """The beginnings by which these ids differ."""
    whole = list(ids)
    return {
        each: each[:_SHORT_ID]
        if sum(other.startswith(each[:_SHORT_ID]) for other in whole) == 1
        else each
        for each in whole
    }


def _runs(api: PrefectApi, most: int, *, tags: list[str]) -> Iterator[Document]:
    """The newest runs that have begun or ended, newest first; read page by page as needed."""
    for offset in range(0, most, _PAGE):
        limit = min(_PAGE, most - offset)
        page: list[Any] = api.filter(
            "/flow_runs",
            flow_runs={
                "tags": {"all_": [TAG, *tags]},
                "state": {"type": {"not_any_": ["SCHEDULED"]}},
            },
            sort="EXPECTED_START_TIME_DESC",
            limit=limit,
            offset=offset,
        )
        yield from page
        if len(page) < limit:
            return


def duration(run: Document, now: datetime) -> float:
    """The seconds that a run took, or runs by now: Prefect counts that only when it has ended."""
    if run["state_type"] == "RUNNING" and run["start_time"]:
        return round((now - datetime.fromisoformat(run["start_time"])).total_seconds(), 1)
    return round(float(run["total_run_time"]), 1)


def _is_id(text: str) -> bool:
    try:
        UUID(text)
    except ValueError:
        return False
    return True
