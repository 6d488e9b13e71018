"""How a function becomes a step of a flow: a Prefect task with retries on unavailable I/O."""

from collections.abc import Callable
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE

from overnight.models.errors import SourceUnavailable
from overnight.store.errors import StoreUnavailable

_P = ParamSpec("_P")
_R = TypeVar("_R")


def _unavailable(_task: object, _run: object, state: Any) -> bool:
    """Only a store or a source that is merely unavailable is worth asking again."""
    failure = state.result(raise_on_failure=False)
    return isinstance(failure, StoreUnavailable | SourceUnavailable)


def step(act: Callable[_P, _R]) -> Callable[_P, _R]:
    """Run a function as a Prefect task: named as it is, never cached, tried again on bad I/O."""
    return task(
        name=act.__name__.replace("_", " "),
        cache_policy=NO_CACHE,
        persist_result=False,
        retries=3,
        retry_delay_seconds=[1, 5, 15],
        retry_condition_fn=_unavailable,
    )(act)
