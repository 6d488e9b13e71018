"""Tests run side by side, a worker a core: what stays together, what begins first, who counts.

Hooks of pytest and of pytest-xdist, for the conftest of all tests.
"""

from typing import Any

import pytest

from tests.faults.tally import DEFAULT_SEED, SEED, TALLY

# What is started once for all who need it is needed by tests of one worker alone.
_SHARED = ("stack", "mlflow_server")
_TALLY = "tally"


def _group(item: pytest.Item) -> str:
    """Tests of a file share what it starts, so they stay together."""
    needed = getattr(item, "fixturenames", ())
    return next((name for name in _SHARED if name in needed), item.nodeid.partition("::")[0])


def _rank(item: pytest.Item) -> int:
    """The longest begin first, so that no worker is left with them in the end."""
    if "stack" in getattr(item, "fixturenames", ()):
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
    items.sort(key=lambda item: ranks[_group(item)])


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
