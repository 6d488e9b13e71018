"""Tests run side by side, a worker a core: what stays together, what begins first, who counts.

Hooks of pytest and of pytest-xdist, for the conftest of all tests.
"""

import re
from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

from tests.faults.tally import DEFAULT_SEED, SEED, TALLY

Server = TypeVar("Server")
# What is started once for all who need it, by its fixture, and the group of files that do: they run
# in one worker, one after the other, and it ends after the last of them.
_SHARED = {"stack": "stack", "prefect_server": "servers", "mlflow_server": "servers"}
_GROUPS = {
    "stack": re.compile(r"\bRunningStack\b"),
    "servers": re.compile(r"\bimport World\b|\b(prefect|mlflow)_server\b"),
}
_RUNNING = pytest.StashKey[ExitStack]()
_TALLY = "tally"


@contextmanager
def shared(config: pytest.Config, server: AbstractContextManager[Server]) -> Iterator[Server]:
    """A server that ends with its group: an idle one costs the tests that follow."""
    with ExitStack() as running:
        config.stash.setdefault(_RUNNING, ExitStack()).push(running)
        yield running.enter_context(server)


@cache
def group_of(file: str) -> str:
    """Who hands out tests knows nothing of them but their names, so it is read off the file."""
    text = (Path(__file__).parents[1] / file).read_text()
    return next((group for group, needs in _GROUPS.items() if needs.search(text)), file)


def _group(item: pytest.Item) -> str:
    return group_of(item.nodeid.partition("::")[0])


def _rank(item: pytest.Item) -> int:
    """The longest begin first, so that no worker is left with them in the end."""
    if _group(item) in _GROUPS:
        return 0
    waits = item.get_closest_marker("servers") or item.get_closest_marker("training")
    return 1 if waits else 2


class _Groups(LoadScopeScheduling):
    """Hand out files, and groups of them, in the order in which they were collected."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """The one that comes with it, `loadgroup`, groups nothing under pytest 9.2."""
    return _Groups(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks: dict[str, int] = {}
    for item in items:
        group = _group(item)
        ranks[group] = min(_rank(item), ranks.get(group, 2))
        for name in set(_SHARED) & set(getattr(item, "fixturenames", ())):
            assert group == _SHARED[name], f"{item.nodeid} needs {name} and is not read as such"
    places = {group: place for place, group in enumerate(ranks)}
    items.sort(key=lambda item: (ranks[_group(item)], places[_group(item)]))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    if nextitem is None or _group(nextitem) != _group(item):
        item.config.stash.get(_RUNNING, ExitStack()).close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send the controller what was counted in this worker."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_TALLY] = TALLY.told()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """A worker is done: add what it counted."""
    TALLY.add(getattr(node, "workeroutput", {}).get(_TALLY, {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not TALLY:
        return
    seed = config.getoption(SEED, DEFAULT_SEED)
    terminalreporter.section(f"the tally of faults, by seed {seed}")
    for line in TALLY.lines():
        terminalreporter.write_line(line)
