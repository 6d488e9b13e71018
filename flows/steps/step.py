"""Turns a function into a step of a flow: a Prefect task, retried when I/O is unavailable."""

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


def step(function: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function as a Prefect task of its own name, retried on unavailable I/O."""
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
