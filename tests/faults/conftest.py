"""How long the tests with faults may take, what chance they follow, and the tally they end with."""

from collections.abc import Callable

import pytest

from tests.faults.tally import TALLY

_MINUTES, _SEED = "--faults-minutes", "--faults-seed"
_DEFAULT_SEED = 20261123


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        _MINUTES,
        type=float,
        help="let the tests with faults be thorough, the long ones for so many minutes each",
    )
    parser.addoption(
        _SEED,
        type=int,
        default=_DEFAULT_SEED,
        help="every random choice of the tests with faults follows from it",
    )


@pytest.fixture(scope="session")
def faults_minutes(request: pytest.FixtureRequest) -> float:
    """How long a long test may go on; 0 for its short form.

    The options are only there when this folder is named on the command line.
    """
    return float(request.config.getoption(_MINUTES, 0) or 0)


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether faults are what this run is about, however short; `make faults` says so."""
    return request.config.getoption(_MINUTES, None) is not None


@pytest.fixture(scope="session")
def faults_seed(request: pytest.FixtureRequest) -> int:
    """What every random choice follows from."""
    return _seed(request.config)


@pytest.fixture
def seed_of(request: pytest.FixtureRequest, faults_seed: int) -> Callable[[str], str]:
    """A seed of this test's own for each of its proxies and threads, by a name of theirs."""
    return lambda name: f"{faults_seed} {request.node.name} {name}"


def _seed(config: pytest.Config) -> int:
    return int(config.getoption(_SEED, _DEFAULT_SEED))


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    if not TALLY:
        return
    terminalreporter.section(f"the tally of faults, by seed {_seed(config)}")
    for line in TALLY.lines():
        terminalreporter.write_line(line)
