"""Exit codes of run states."""

import pytest

from overnight.cli.runs import exit_codes


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("Promoted", "COMPLETED", 0),
        ("AwaitingApproval", "COMPLETED", 0),
        ("RolledBack", "COMPLETED", 1),
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
def test_each_state_has_its_exit_code(name, kind, code):
    assert exit_codes.exit_code({"name": name, "type": kind}, "retrain") == code


@pytest.mark.parametrize(
    ("kind", "name", "message", "code"),
    [
        ("COMPLETED", "Completed", "Refused: 5 of 47 gates failed", 3),
        ("COMPLETED", "Completed", "UpToDate: nothing is new", 4),
        ("COMPLETED", "Completed", "Promoted", 0),
        ("COMPLETED", "Completed", "of nobody: Refused", 0),
        ("FAILED", "Failed", "Unconfirmed: no replica answered", 1),
        ("FAILED", "Failed", "Refused: by a stranger", 1),
        ("CANCELLED", "Cancelled", "InvalidRequest: no arrival 'x'", 2),
        ("CANCELLED", "Cancelled", "Denied: 'ann' is only claimed", 1),
    ],
)
def test_the_outcome_in_the_message_of_a_state_decides(kind, name, message, code):
    state = {"type": kind, "name": name, "message": message}

    assert exit_codes.exit_code(state, "retrain") == code
    assert exit_codes.format_state(state).endswith(message)


def test_rolled_back_is_success_only_for_a_rollback():
    state = {"name": "RolledBack", "type": "COMPLETED"}

    codes = {flow: exit_codes.exit_code(state, flow) for flow in ("rollback", "promote", "retrain")}

    assert codes == {"rollback": 0, "promote": 1, "retrain": 1}


def test_a_state_is_printed_with_its_message():
    state = {"name": "Refused", "type": "COMPLETED", "message": "accuracy 0.91, at least 0.99"}

    assert exit_codes.format_state(state) == "Refused: accuracy 0.91, at least 0.99"
    assert exit_codes.format_state({"name": "Crashed", "message": None}) == "Crashed"
