"""How long the tests with faults may take, and the tally that they end with."""

import pytest

from tests.faults.tally import TALLY

_MINUTES = "--faults-minutes"


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        _MINUTES,
        type=float,
        default=0,
        help="let each of the long tests with faults go on for so many minutes",
    )


@pytest.fixture
def faults_minutes(request: pytest.FixtureRequest) -> float:
    """How long a long test may go on; 0 for its short form.

    The option is only there when this folder is named on the command line.
    """
    return float(request.config.getoption(_MINUTES, 0) or 0)


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if not TALLY:
        return
    terminalreporter.section("the tally of faults")
    for line in TALLY.lines():
        terminalreporter.write_line(line)
