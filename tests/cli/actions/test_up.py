"""`overnight up` trains every model without a champion, also after failures."""

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
def test_all_models_are_trained_and_the_worst_outcome_is_the_exit_code(
    ends: tuple[str, ...], code: int
) -> None:
    trained, output = [], io.StringIO()

    def ensure(model: str) -> dict[str, str] | None:
        trained.append(model)
        if model == "breaks":
            raise StepFailed("serving does not answer")
        return ENDS[model]

    assert train_each(ends, ensure, Console(file=output)) == code
    assert trained == list(ends)
    assert ("serving does not answer" in output.getvalue()) is ("breaks" in ends)
