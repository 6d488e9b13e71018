"""Hooks of pytest and pytest-xdist: number of workers, groups and order of tests, the fault tally.

Imported by the conftest of all tests.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

import pytest
from xdist.scheduler import LoadScopeScheduling

from overnight.infra.cores import cores
from tests.support.faults.tally import DEFAULT_SEED, SEED, TALLY, is_thorough

Server = TypeVar("Server")
# Fixtures whose server is started once a worker, and how a file's text shows that it needs one.
_SHARED = {
    "stack": re.compile(r"\bRunningStack\b"),
    "prefect_server": re.compile(r"(?<!store_environment): FlowEnvironment\b|\bprefect_server\b"),
    "mlflow_server": re.compile(r"\bMlflowServer\b|\bmlflow_server\b"),
}
# Files that share a server run in one worker, one after the other: a second worker would start a
# second server, which costs a minute of CPU, and then a tenth of a core for as long as it runs.
# Flows alone have a Prefect server of their own, so that no group runs long.
_STACK, _FLOWS, _PREFECT = "a stack", "a Prefect server for flows", "a Prefect server, or MLflow"
# Each with a server that a file needs and the folder that it is in; the first that fits.
_GROUPS = (
    (_STACK, "stack", ""),
    (_PREFECT, "mlflow_server", ""),
    (_FLOWS, "prefect_server", "tests/flows/"),
    (_PREFECT, "prefect_server", ""),
)
# Takes longer than any group, most of it by itself.
_LONGEST = "tests/projects/test_project_lifecycle.py"
_PER_CORE, _MOST = 2, 6
# What `make quick` selects, and how a file says that none of its tests is.
_QUICK = "not servers and not training"
_SLOW = re.compile(r"^pytestmark = (?:\[[^\]]*)?pytest\.mark\.(?:servers|training)\b", re.MULTILINE)
_RUNNING = pytest.StashKey[ExitStack]()
_TALLY = "tally"


@contextmanager
def shared(config: pytest.Config, server: AbstractContextManager[Server]) -> Iterator[Server]:
    """A server that stops after the last test of its worker, even if stopping it fails."""
    with ExitStack() as running:
        config.stash.setdefault(_RUNNING, ExitStack()).push(running)
        yield running.enter_context(server)


@cache
def needs_of(file: str) -> frozenset[str]:
    """The shared servers that a file needs, read from its text.

    The scheduler gets the tests' names only, never their fixtures.
    """
    text = (Path(__file__).parents[2] / file).read_text()
    return frozenset(name for name, needs in _SHARED.items() if needs.search(text))


@cache
def group_of(file: str) -> str:
    """The first group that a file fits in, or the file itself where it shares nothing."""
    needs = needs_of(file)
    fits = (group for group, name, at in _GROUPS if name in needs and file.startswith(at))
    return next(fits, file)


def _file(item: pytest.Item) -> str:
    return item.nodeid.partition("::")[0]


def _group(item: pytest.Item) -> str:
    return group_of(_file(item))


def _rank(item: pytest.Item) -> int:
    """0 to 3: the longest tests start first, so that all workers end at about the same time."""
    if _group(item) in {_STACK, _FLOWS, _PREFECT, _LONGEST}:
        return 0
    waits = item.get_closest_marker("servers") or item.get_closest_marker("training")
    if not waits:
        return 3
    return 1 if _file(item).startswith("tests/faults/") else 2


class _Groups(LoadScopeScheduling):
    """Distributes whole files, and groups of files, in the order of collection."""

    def _split_scope(self, nodeid: str) -> str:
        return group_of(nodeid.partition("::")[0])


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config: pytest.Config) -> int:
    """`-n logical` is for tests that compute, `-n auto` for tests that mostly wait for servers."""
    if config.option.numprocesses == "logical":
        return min(cores() + 1, _MOST)
    return min(_PER_CORE * cores(), _MOST)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> LoadScopeScheduling:
    """Replaces `loadgroup` of pytest-xdist, which groups nothing under pytest 9.2."""
    return _Groups(config, log)


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files, and folders of files, of which `make quick` runs no test.

    Importing them, and with them TensorFlow, Prefect and Playwright, takes longer than its tests.
    """
    if config.option.markexpr != _QUICK:
        return None
    files = [collection_path] if collection_path.is_file() else collection_path.rglob("test_*.py")
    return True if _all_slow(files) else None


def _all_slow(files: Iterable[Path]) -> bool:
    tests = [file for file in files if file.name.startswith("test_")]
    return bool(tests) and all(_is_slow(file) for file in tests)


@cache
def _is_slow(file: Path) -> bool:
    return _SLOW.search(file.read_text()) is not None


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not is_thorough(config):
        left = [item for item in items if item.get_closest_marker("thorough")]
        config.hook.pytest_deselected(items=left)
        items[:] = [item for item in items if item not in left]
    ranks: dict[str, int] = {}
    for item in items:
        group = _group(item)
        ranks[group] = min(_rank(item), ranks.get(group, 3))
        needs = set(_SHARED) & set(getattr(item, "fixturenames", ()))
        unread = needs - needs_of(_file(item))
        assert not unread, f"{item.nodeid} needs {unread} and is not read as such"
    places = {group: place for place, group in enumerate(ranks)}
    items.sort(key=lambda item: (ranks[_group(item)], places[_group(item)]))


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(item: pytest.Item, nextitem: pytest.Item | None) -> None:
    # Not after its group: another group of the same worker may need the same server.
    if nextitem is None:
        item.config.stash.get(_RUNNING, ExitStack()).close()


def pytest_sessionfinish(session: pytest.Session) -> None:
    """Send this worker's part of the fault tally to the controller."""
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput[_TALLY] = TALLY.reported()


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Add the part of a worker that is done."""
    TALLY.add(getattr(node, "workeroutput", {}).get(_TALLY, {}))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not TALLY:
        return
    seed = config.getoption(SEED, DEFAULT_SEED)
    terminalreporter.section(f"injected faults, by seed {seed}")
    for line in TALLY.lines():
        terminalreporter.write_line(line)
