"""The summary fits into 80 columns, cuts nothing that people need, and escapes outside text."""

import json
from dataclasses import replace
from datetime import UTC, datetime

import pytest
from markdown_it import MarkdownIt

from overnight.tasks.reporting.summary import (
    ModelSummary,
    Summary,
    as_document,
    as_html,
    as_markdown,
    as_text,
)

NOW = datetime(2026, 12, 1, 7, 0, tzinfo=UTC)
VERSION = "20261201T020000-0123456789ab"
DIGITS = ModelSummary(
    "digits",
    outcome="AwaitingApproval",
    reason=f"{VERSION} passed its gates and waits",
    ended_at=datetime(2026, 12, 1, 2, 4, tzinfo=UTC),
    champion="20261130T020000-0123456789ab",
    metric="accuracy 0.9731 (+0.0029)",
    arrivals=2,
    new_rows=10_000,
    waiting=(f"overnight approve digits {VERSION}", f"overnight accept digits {'x' * 120}"),
    live="live accuracy 0.9712 over 1,204 labels (38% of the answers)",
    next_run=datetime(2026, 12, 2, 2, 0, tzinfo=UTC),
)
WELL = ModelSummary("sales", outcome="UpToDate", champion="v", new_rows=0)


def test_what_people_need_is_whole_at_80_columns():
    text = as_text(Summary(at=NOW, models=(DIGITS, WELL)))

    assert text.startswith("1 of 2 models needs you, 2026-12-01 07:00 UTC\n")
    for whole in (
        "AwaitingApproval 02:04", "accuracy 0.9731 (+0.0029)", "+10,000 rows of 2 arrivals",
        "next 2026-12-02 02:00", *DIGITS.waiting, DIGITS.live,
    ):  # fmt: skip
        assert whole in text
    wide = [line for line in text.splitlines() if len(line) > 80]
    # A name that is longer than a line is not broken, so that it can be copied.
    assert wide == [f"    waits: {DIGITS.waiting[1]}"]


@pytest.mark.parametrize("name", ["a", "fourteen-chars", "a-model-of-a-very-long-name-" + "x" * 35])
def test_names_of_any_length_keep_their_facts(name):
    lines = as_text(Summary(at=NOW, models=(replace(DIGITS, model=name),))).splitlines()

    assert lines[2].startswith(name)
    assert all(len(line) <= 80 for line in lines if "waits: " not in line)
    assert "accuracy 0.9731 (+0.0029)" in "\n".join(lines)


def test_times_are_those_of_the_zone_that_is_set():
    text = as_text(Summary(at=NOW, zone="Asia/Tokyo", models=(DIGITS,)))

    assert "2026-12-01 16:00 Asia/Tokyo" in text
    assert "AwaitingApproval 11:04" in text


def test_all_renderings_say_the_same():
    summary = Summary(at=NOW, models=(DIGITS, WELL), problems=("the store is away",), undelivered=3)
    html = as_html(summary)
    card = MarkdownIt("commonmark", {"html": False}).render(as_markdown(summary))

    for text in (DIGITS.waiting[0], DIGITS.metric, DIGITS.live, "the store is away",
                 "3 notifications reached nobody"):  # fmt: skip
        assert text in html
        assert text in card
        assert text in as_text(summary).replace("\n", " ")
    assert json.loads(json.dumps(as_document(summary)))["models"][0]["needs_a_person"]


HOSTILE = "<script>alert(1)</script> ![x](http://evil/x.png) \x1b[2J | `a` **b**"


def test_reasons_and_names_from_outside_are_text_only():
    hostile = replace(
        DIGITS,
        reason=HOSTILE,
        waiting=(HOSTILE,),
        alarms=(HOSTILE,),
        ended=(HOSTILE,),
        live=HOSTILE,
        outcome=HOSTILE,
    )
    summary = Summary(at=NOW, models=(hostile,), problems=(HOSTILE,))
    card = MarkdownIt("commonmark", {"html": False}).enable("table").render(as_markdown(summary))

    for rendered in (as_html(summary), card):
        assert "<script" not in rendered
        assert "<img" not in rendered
        assert "\x1b" not in rendered
    assert "\x1b" not in as_text(summary)


@pytest.mark.parametrize(
    ("changed", "title"),
    [
        ({}, "all 2 models are well"),
        ({"missed": 1}, "1 of 2 models needs you"),
        ({"is_red": True}, "1 of 2 models needs you"),
        ({"alarms": ("error 5 %",)}, "1 of 2 models needs you"),
    ],
)
def test_the_title_says_how_many_models_need_a_person(changed, title):
    assert Summary(at=NOW, models=(WELL, replace(WELL, **changed))).title == title


def test_the_outcome_and_its_reason_are_one_line():
    refused = replace(DIGITS, outcome="Refused", reason="accuracy 0.91, at least 0.95", waiting=())

    lines = as_text(Summary(at=NOW, models=(refused,))).splitlines()

    assert lines[2] == "digits          Refused 02:04: accuracy 0.91, at least 0.95"
    assert lines[3].startswith("                accuracy 0.9731 (+0.0029) · +10,000 rows")


def test_an_alarm_that_ended_is_told_and_needs_nobody():
    ended = replace(WELL, ended=("error 5 %, in record 3", "what follows: retrain: error"))
    summary = Summary(at=NOW, models=(ended,))

    assert summary.title == "the model is well"
    for rendered in (as_text(summary), as_markdown(summary), as_html(summary)):
        assert "ended: error 5 %, in record 3" in rendered
        assert "ended: what" not in rendered


def test_what_is_not_known_is_no_good_news():
    assert (
        Summary(at=NOW, models=(WELL,), problems=("x",)).title == "1 models, but not all is known"
    )
