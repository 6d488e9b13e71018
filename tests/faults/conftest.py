"""Options of the fault tests: their duration and the seed of all randomness."""

from collections.abc import Callable

import pytest

from tests.support.faults.tally import DEFAULT_SEED, MINUTES, SEED, is_thorough


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        MINUTES,
        type=float,
        help="let the tests with faults be thorough, the long ones for so many minutes each",
    )
    parser.addoption(
        SEED,
        type=int,
        default=DEFAULT_SEED,
        help="every random choice of the tests with faults follows from it",
    )


@pytest.fixture(scope="session")
def faults_minutes(request: pytest.FixtureRequest) -> float:
    """How long a long test may go on; 0 for its short form.

    The options are only there when this folder is named on the command line.
    """
    return float(request.config.getoption(MINUTES, 0) or 0)


@pytest.fixture(scope="session")
def thorough(request: pytest.FixtureRequest) -> bool:
    """Whether faults are what this run is about, however short; `make faults` says so."""
    return is_thorough(request.config)


@pytest.fixture(scope="session")
def faults_seed(request: pytest.FixtureRequest) -> int:
    """What every random choice follows from."""
    return int(request.config.getoption(SEED, DEFAULT_SEED))


@pytest.fixture
def seed_of(request: pytest.FixtureRequest, faults_seed: int) -> Callable[[str], str]:
    """A seed of this test's own for each of its proxies and threads, by a name of theirs."""
    return lambda name: f"{faults_seed} {request.node.name} {name}"
