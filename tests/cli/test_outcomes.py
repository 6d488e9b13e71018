"""Ends of runs as exit codes."""

import pytest

from cli import outcomes


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("Promoted", "COMPLETED", 0),
        ("AwaitingApproval", "COMPLETED", 0),
        ("RolledBack", "COMPLETED", 0),
        ("Rejected", "COMPLETED", 0),
        ("Ingested", "COMPLETED", 0),
        ("Refused", "COMPLETED", 3),
        ("UpToDate", "COMPLETED", 4),
        ("NothingNew", "COMPLETED", 4),
        ("Superseded", "COMPLETED", 4),
        ("Failed", "FAILED", 1),
        ("Unconfirmed", "FAILED", 1),
        ("Crashed", "CRASHED", 1),
        ("Cancelled", "CANCELLED", 1),
    ],
)
def test_each_end_has_its_exit_code(name, kind, code):
    assert outcomes.exit_code({"name": name, "type": kind}) == code


def test_an_end_is_told_with_its_reason():
    state = {"name": "Refused", "type": "COMPLETED", "message": "accuracy 0.91, at least 0.99"}

    assert outcomes.told(state) == "Refused: accuracy 0.91, at least 0.99"
    assert outcomes.told({"name": "Crashed", "message": None}) == "Crashed"
