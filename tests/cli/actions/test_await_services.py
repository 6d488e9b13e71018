"""`overnight up` waits for as long as services get further, and says which do not."""

import io
import os
from pathlib import Path

import pytest
from rich.console import Console

from overnight.cli.actions.await_services import Movement, await_services
from overnight.infra.settings import Settings
from overnight.infra.stack import processes, state_file
from overnight.infra.stack.state_file import Condition, ServiceRecord, StackRecord
from overnight.tasks.errors import StepFailed

LIMIT = 240


def stack(*conditions: Condition, message: str = "") -> StackRecord:
    return StackRecord(
        supervisor=processes.identify(1),
        services=tuple(
            ServiceRecord(name=f"s{n}", title=f"S{n}", condition=condition, message=message)
            for n, condition in enumerate(conditions)
        ),
    )


def stalled_after(observed: dict[int, StackRecord], cpu_share: float) -> int | None:
    """The second at which a start counts as stalled, within 2,000, by what is observed when."""
    clock = [0]
    movement = Movement(seconds=LIMIT, cpu=lambda _: cpu_share * clock[0], now=0)
    seen = StackRecord()
    for clock[0] in range(2_000):
        seen = observed.get(clock[0], seen)
        movement.check(seen, clock[0])
        if movement.has_stalled(clock[0]):
            return clock[0]
    return None


@pytest.mark.parametrize("idle", [0.0, 0.05])
def test_a_start_in_which_nothing_moves_is_given_up_after_the_limit(idle: float) -> None:
    assert stalled_after({0: stack("starting")}, idle) == LIMIT + 1


def test_a_start_goes_on_while_services_become_ready_one_after_the_other() -> None:
    observed = {
        0: stack("starting", "waiting", "waiting"),
        200: stack("ready", "starting", "waiting"),
    }
    observed |= {400: stack("ready", "ready", "starting")}

    assert stalled_after(observed, 0) == 400 + LIMIT + 1


def test_a_service_that_works_is_waited_for_on_a_slow_machine() -> None:
    assert stalled_after({0: stack("starting")}, 0.2) is None


def test_what_does_not_move_is_named_with_its_log(tmp_path: Path) -> None:
    record = stack("ready", "starting", message="connection refused")
    ours = processes.identify(os.getpid())
    state_file.write(tmp_path, record.model_copy(update={"supervisor": ours}))
    output = io.StringIO()

    with pytest.raises(StepFailed, match=r"nothing has moved for 0 s.*UP_SECONDS.*S1 is starting"):
        await_services(tmp_path, Console(file=output), seconds=0.4)

    assert "S1: starting" in output.getvalue()


def test_the_limit_may_be_changed_while_the_stack_runs() -> None:
    patient, hasty = (Settings(up_seconds=seconds) for seconds in (600, 60))

    assert patient.digest("") == hasty.digest("")
