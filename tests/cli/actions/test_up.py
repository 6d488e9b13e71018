"""`overnight up` trains every model without a champion, also after failures."""

import io

import pytest
from rich.console import Console

from overnight.cli.actions import up
from overnight.cli.actions.up import train_each
from overnight.infra.settings import load
from overnight.infra.stack.state_file import ServiceRecord, StackRecord
from overnight.tasks.errors import StepFailed

ENDS = {
    "Promoted": {"type": "COMPLETED", "name": "Promoted"},
    "Refused": {"type": "COMPLETED", "name": "Refused"},
    "UpToDate": {"type": "COMPLETED", "name": "UpToDate"},
    "Failed": {"type": "FAILED", "name": "Failed"},
    "serves": None,
}


def test_the_addresses_have_that_of_grpc(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    http, grpc = "http://127.0.0.1:8080", "127.0.0.1:8081"
    serving = ServiceRecord(name="serving", title="Serving", address=http, grpc_address=grpc)
    console = Console(file=io.StringIO(), width=120)

    console.print(up._addresses(StackRecord(services=(serving,)), load()))

    rows = [line.split() for line in console.file.getvalue().splitlines()]
    assert ["Serving", http] in rows
    assert ["Serving,", "gRPC", grpc] in rows


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
