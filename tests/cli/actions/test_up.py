"""`overnight up` trains every model that is missing, whatever became of the one before."""

import io

import pytest
from rich.console import Console

from overnight.cli.actions.up import train_each
from overnight.tasks.errors import StepFailed

ENDS = {
    "Promoted": {"type": "COMPLETED", "name": "Promoted"},
    "Refused": {"type": "COMPLETED", "name": "Refused"},
    "UpToDate": {"type": "COMPLETED", "name": "UpToDate"},
    "Failed": {"type": "FAILED", "name": "Failed"},
    "serves": None,
}


@pytest.mark.parametrize(
    ("ends", "code"),
    [
        (("Refused", "Promoted"), 3),
        (("Refused", "Failed", "Promoted"), 1),
        (("Failed", "serves"), 1),
        (("breaks", "Refused"), 1),
        (("UpToDate", "serves", "Promoted"), 0),
    ],
)
def test_all_are_trained_and_the_gravest_end_is_the_exit_code(
    ends: tuple[str, ...], code: int
) -> None:
    asked, told = [], io.StringIO()

    def ensure(model: str) -> dict[str, str] | None:
        asked.append(model)
        if model == "breaks":
            raise StepFailed("serving does not answer")
        return ENDS[model]

    found = train_each(ends, ensure, Console(file=told))

    assert found == code
    assert asked == list(ends)
    assert ("serving does not answer" in told.getvalue()) is ("breaks" in ends)
