"""Tests run side by side, a worker a core: what stays together, what begins first, who counts.

Hooks of pytest and of pytest-xdist, for the conftest of all tests.
"""

from collections.abc import Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from typing import Any, TypeVar

import pytest

from tests.faults.tally import DEFAULT_SEED, SEED, TALLY

Server = TypeVar("Server")
# What is started once for all who need it, by its fixture, and the group of those: they run in one
# worker, one after the other, and it ends after the last of them.
_GROUPS = {"stack": "stack", "prefect_server": "servers", "mlflow_server": "servers"}
_RUNNING = pytest.StashKey[ExitStack]()
_TALLY = "tally"


@contextmanager
def shared(config: pytest.Config, server: AbstractContextManager[Server]) -> Iterator[Server]:
    """A server that ends with its group: an idle one costs the tests that follow."""
    with ExitStack() as running:
        config.stash.setdefault(_RUNNING, ExitStack()).push(running)
        yield running.enter_context(server)


def _group(item: pytest.Item) -> str:
    """Tests of a file share what it starts, so they stay together, too."""
    needed = {_GROUPS[name] for name in getattr(item, "fixturenames", ()) if name in _GROUPS}
    assert len(needed) < 2, f"{item.nodeid} needs what two groups of tests share"
    return needed.pop() if needed else item.nodeid.partition("::")[0]


def _rank(item: pytest.Item) -> int:
    """The longest begin first, so that no worker is left with them in the end."""
    if _group(item) in _GROUPS.values():
        return 0
    waits = item.get_closest_marker("servers") or item.get_closest_marker("training")
    return 1 if waits else 2


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    ranks: dict[str, int] = {}
    for item in items:
        group = _group(item)
        item.add_marker(pytest.mark.xdist_group(group))
        ranks[group] = min(_rank(item), ranks.get(group, 2))
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
