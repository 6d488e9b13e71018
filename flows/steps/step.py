"""Turns a function into a step of a flow: a Prefect task, retried when I/O is unavailable."""

import logging
from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from overnight.models.errors import SourceUnavailable
from overnight.store.errors import StoreUnavailable

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _is_unavailable(_task: object, _run: object, state: Any) -> bool:
    """Retry only an unavailable store or source: any other error would happen again."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreUnavailable | SourceUnavailable)


def _name_task(record: logging.LogRecord) -> bool:
    """Put the name of the task before Prefect's own line about its end, which has none."""
    name, message = getattr(record, "task_name", ""), record.getMessage()
    if name and message.startswith("Finished in state"):
        record.msg, record.args = f"{name}: {message}", ()
    return True


def step(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function as a Prefect task of its own name, retried on unavailable I/O."""
    # Not at import, which must do nothing; a filter is added once, however often it is.
    logging.getLogger("prefect.task_runs").addFilter(_name_task)
    return task(
        name=function.__name__.replace("_", " "),
        # Prefect would cache by arguments; what a step reads from the store changes between runs.
        cache_policy=NO_CACHE,
        # Candidates and predictors are large, and a retried run has them in its scratch folder.
        persist_result=False,
        # Longer outages end the run; its deployment retries it whole, from what is finished.
        retries=3,
        retry_delay_seconds=[1, 5, 15],
        retry_condition_fn=_is_unavailable,
    )(function)
