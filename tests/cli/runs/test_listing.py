"""Runs are listed by model, and found by id, by the beginning of one, by name, or by model."""

import pytest

from overnight.cli.actions.history import logs
from overnight.cli.errors import AmbiguousRun, UnknownRun
from overnight.cli.runs import listing
from tests.support.prefect_stub import flow_run, prefect_of
from tests.support.terminal import printed, terminal

RUNS = [
    flow_run(4, flow="promote", message="Superseded: another was faster"),
    flow_run(3, model="sales"),
    flow_run(2, model=None, flow="summary", message="Summarized"),
    flow_run(1, message="Refused: 5 of 47 gates failed"),
]


def test_the_latest_runs_have_outcome_flow_and_seconds() -> None:
    with prefect_of(RUNS) as api:
        runs = listing.recent(api, limit=3)

    assert [(run["flow"], run["state"]) for run in runs] == [
        ("promote/digits", "Superseded"),
        ("retrain/sales", "Promoted"),
        ("summary", "Summarized"),
    ]
    assert (runs[0]["seconds"], runs[0]["message"]) == (12.3, "another was faster")


def test_runs_of_one_model_are_looked_for_among_many_others() -> None:
    others = [flow_run(9, model="sales")] * 450
    with prefect_of([*others, *RUNS]) as api:
        runs = listing.recent(api, limit=5, model="digits")
        retrained = listing.recent(api, limit=5, model="digits", flow="retrain")

    assert [run["flow"] for run in runs] == ["promote/digits", "retrain/digits"]
    assert [run["state"] for run in retrained] == ["Refused"]


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("0199c7d2-0003-7c11-9b52-0242ac120002", 3),
        ("0199c7d2-0001", 1),
        ("0199C7D2-0002", 2),
        ("sales run 3", 3),
        ("digits", 4),
    ],
)
def test_a_run_is_found_by_what_people_type(text: str, number: int) -> None:
    with prefect_of(RUNS) as api:
        assert listing.find(api, text)["id"] == flow_run(number)["id"]


def test_the_last_run_of_a_model_and_a_flow_is_found() -> None:
    with prefect_of(RUNS) as api:
        assert listing.find(api, "digits", flow="retrain")["state"] == "Refused"


def test_several_or_no_run_is_an_error_with_the_remedy() -> None:
    with prefect_of(RUNS) as api:
        with pytest.raises(AmbiguousRun, match="4 runs begin with '0199'"):
            listing.find(api, "0199")
        with pytest.raises(UnknownRun, match="`overnight runs` lists"):
            listing.find(api, "nosuch")


def test_ids_are_short_where_that_is_enough() -> None:
    short, other = flow_run(1)["id"], flow_run(2)["id"]
    twin = f"{short[:-1]}9"

    assert listing.short_ids([short, other]) == {short: short[:13], other: other[:13]}
    assert listing.short_ids([short, twin]) == {short: short, twin: twin}


def test_a_log_of_several_pages_has_steps_and_times_in_utc() -> None:
    line = {
        "timestamp": "2026-11-22T03:00:07+01:00",
        "level": 20,
        "task_run_id": None,
        "message": "began",
    }
    steps = [{"id": "s", "name": "train-0"}]
    log = [*[line] * 250, line | {"task_run_id": "s", "level": 40, "message": "out\x1b[2J"}]
    console = terminal()
    with prefect_of(RUNS, logs=log, steps=steps) as api:
        count = logs._print(logs.lines(api, RUNS[0]["id"]), console)
        rest = list(logs.lines(api, RUNS[0]["id"], after=250))

    text = printed(console).splitlines()
    assert count == len(text) == 251
    assert text[0] == "02:00:07 began"
    assert text[-1].startswith("02:00:07 ERROR train: out")
    assert [line["step"] for line in rest] == ["train"]
