"""Labels are joined to answers alike in any order, and in parts as at once."""

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from overnight.tasks.monitoring.join import (
    AMBIGUOUS,
    CONTRADICTION,
    FIRST,
    LATE,
    OUTCOMES,
    REPEAT,
    UNKNOWN,
    WAITING,
    join,
    read_since,
)

START = datetime(2026, 11, 1, tzinfo=UTC)
WINDOW_DAYS = 2.0
WINDOW = timedelta(days=WINDOW_DAYS)
INSTANT = pa.timestamp("us", tz="UTC")
ANSWERS = pa.schema(
    {
        "request": pa.string(),
        "row": pa.int32(),
        "caller": pa.string(),
        "at": INSTANT,
        "route": pa.string(),
        "version": pa.string(),
        "collected": INSTANT,
    }
)
LABELS = pa.schema(
    {
        "request": pa.string(),
        "row": pa.int32(),
        "caller": pa.string(),
        "at": INSTANT,
        "truth": pa.string(),
        "client": pa.string(),
        "origin": pa.string(),
        "collected": INSTANT,
    }
)


def hour(number: float) -> datetime:
    return START + timedelta(hours=number)


def answer(request, row=0, *, at=0.0, caller="", route="champion", collected=None):
    return {
        "request": request,
        "row": row,
        "caller": caller,
        "at": hour(at),
        "route": route,
        "version": "v1",
        "collected": hour(at if collected is None else collected),
    }


def label(request="", row=0, truth="7", *, at=1.0, caller="", client="c", collected=None):
    return {
        "request": request,
        "row": row,
        "caller": caller,
        "at": hour(at),
        "truth": truth,
        "client": client,
        "origin": "api",
        "collected": hour(at if collected is None else collected),
    }


def joined(answers, labels, *, now=1000.0, since=None):
    return join(
        pa.Table.from_pylist(answers, ANSWERS),
        pa.Table.from_pylist(labels, LABELS),
        window_days=WINDOW_DAYS,
        now=hour(now),
        since=None if since is None else hour(since),
    )


def counts(result):
    return {name: number for name, number in result.counts.items() if number}


def test_the_first_label_stands_and_an_equal_one_is_a_repeat():
    result = joined([answer("a")], [label("a", at=2), label("a", at=1)])

    assert counts(result) == {FIRST: 1, REPEAT: 1}
    assert result.label.to_pylist() == [{"truth": "7", "labelled_at": hour(1), "is_new": True}]


def test_a_contradicted_answer_has_no_label():
    result = joined([answer("a"), answer("a", 1)], [label("a"), label("a", truth="8", at=2)])

    assert counts(result) == {FIRST: 1, CONTRADICTION: 1}
    assert result.label["truth"].to_pylist() == [None, None]


def test_a_label_after_the_window_is_late_and_in_no_metric():
    result = joined([answer("a"), answer("b")], [label("a", at=48), label("b", at=48.01)])

    assert counts(result) == {FIRST: 1, LATE: 1}
    assert result.label["truth"].to_pylist() == ["7", None]
    assert result.sent.to_pylist()[1]["answer"] == 1


@pytest.mark.parametrize(("now", "expected"), [(48.9, {WAITING: 1}), (49, {UNKNOWN: 1})])
def test_an_unknown_label_waits_for_one_window(now, expected):
    assert counts(joined([answer("b")], [label("a")], now=now)) == expected


def test_a_label_before_its_answer_was_collected_waits_for_it():
    answers, labels = [answer("a", collected=30)], [label("a")]

    assert counts(joined(answers, labels, now=29)) == {WAITING: 1}
    assert counts(joined(answers, labels, now=30, since=29)) == {FIRST: 1}


def test_an_answer_that_comes_after_the_window_changes_nothing_any_more():
    assert counts(joined([answer("a", collected=60)], [label("a")])) == {UNKNOWN: 1}


def test_a_callers_id_names_all_rows_of_its_request():
    answers = [answer("a", 0, caller="mine"), answer("a", 1, caller="mine")]

    result = joined(answers, [label(caller="mine", row=1, truth="3")])

    assert result.label["truth"].to_pylist() == [None, "3"]


def test_a_callers_id_of_two_requests_is_ambiguous_but_not_in_hindsight():
    answers = [answer("a", caller="mine"), answer("b", caller="mine", at=5)]

    result = joined(answers, [label(caller="mine", at=1), label(caller="mine", at=6)])

    assert counts(result) == {FIRST: 1, AMBIGUOUS: 1}
    assert result.label["truth"].to_pylist() == ["7", None]


def test_a_request_id_that_was_sent_twice_is_ambiguous():
    assert counts(joined([answer("a"), answer("a", at=0.5)], [label("a")])) == {AMBIGUOUS: 1}


@pytest.mark.parametrize("row", [1, -1, 2**31 - 1])
def test_a_row_that_was_not_asked_is_unknown(row):
    assert counts(joined([answer("a"), answer("b")], [label("a", row)])) == {UNKNOWN: 1}


def test_an_empty_callers_id_names_nothing():
    assert counts(joined([answer("a")], [label()])) == {UNKNOWN: 1}


def test_answers_of_shadows_are_apart_and_take_no_labels():
    result = joined([answer("a", route="shadow"), answer("a")], [label("a")])

    assert counts(result) == {FIRST: 1}
    assert (result.answers.num_rows, result.shadow.num_rows) == (1, 1)


@pytest.mark.parametrize("answers", [[], [answer("a")]])
@pytest.mark.parametrize("labels", [[], [label("x")]])
def test_nothing_is_joined_where_there_is_nothing(answers, labels):
    result = joined(answers, labels)

    assert counts(result) == ({UNKNOWN: 1} if labels else {})
    assert result.label["truth"].to_pylist() == [None] * len(answers)


def test_tables_without_the_time_of_collection_go_by_receipt():
    answers = pa.Table.from_pylist([answer("a")], ANSWERS).drop_columns(["collected"])
    labels = pa.Table.from_pylist([label("a")], LABELS).drop_columns(["collected"])

    assert counts(join(answers, labels, window_days=1, now=hour(2))) == {FIRST: 1}


def test_a_period_reads_four_windows_back():
    assert read_since(hour(0), WINDOW_DAYS) == START - 4 * WINDOW


hours = st.integers(0, 120)
some_answers = st.lists(
    st.builds(
        lambda request, row, at, delay, caller, route: answer(
            request, row, at=at, caller=caller, route=route, collected=at + delay
        ),
        st.sampled_from("abc"),
        st.integers(0, 1),
        st.integers(0, 20),
        st.integers(0, 60),
        st.sampled_from(["", "x", "y"]),
        st.sampled_from(["champion", "champion", "shadow"]),
    ),
    max_size=8,
)
some_labels = st.lists(
    st.builds(
        lambda request, row, truth, at, delay, caller, client: label(
            request, row, truth, at=at, caller=caller, client=client, collected=at + delay
        ),
        st.sampled_from(["", "a", "b", "c", "d"]),
        st.integers(0, 2),
        st.sampled_from("78"),
        hours,
        st.integers(0, 30),
        st.sampled_from(["", "x", "y", "z"]),
        st.sampled_from("mn"),
    ),
    max_size=10,
)


def seen(result):
    """What a join found, without the order in which it was given."""
    by_answer = sorted(
        map(
            str,
            zip(result.answers.to_pylist(), result.label.to_pylist(), strict=True),
        )
    )
    drop = [name for name in ("answer",) if name in result.sent.column_names]
    return by_answer, result.sent.drop_columns(drop).to_pylist(), counts(result)


@settings(max_examples=150, deadline=None)
@given(some_answers, some_labels, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_outcome(answers, labels, random):
    # Two rows of one request with one id and one instant are the same answer to a reader.
    before = seen(joined(answers, labels))
    random.shuffle(answers)
    random.shuffle(labels)

    after = seen(joined(answers, labels))

    assert after[1:] == before[1:]
    assert sorted(text for text in after[0]) == sorted(text for text in before[0])


@settings(max_examples=150, deadline=None)
@given(some_answers, some_labels, st.lists(hours, max_size=4))
def test_periods_add_up_to_all_at_once(answers, labels, borders):
    whole = joined(answers, labels, now=1000)
    ends = [*sorted(borders), 1000]

    parts, since, new = dict.fromkeys(OUTCOMES, 0), None, []
    for end in ends:
        # A run sees only what was collected until then.
        part = joined(
            [each for each in answers if each["collected"] <= hour(end)],
            [each for each in labels if each["collected"] <= hour(end)],
            now=end,
            since=since,
        )
        parts = {name: parts[name] + part.counts[name] for name in OUTCOMES}
        new += [row for row in part.sent.drop_columns(["answer"]).to_pylist() if row["is_new"]]
        since = end

    assert {**parts, WAITING: 0} == {**whole.counts, WAITING: 0}
    assert whole.counts[WAITING] == 0
    assert new == whole.sent.drop_columns(["answer"]).to_pylist()


def test_rows_of_batch_runs_are_no_answers_and_no_shadows():
    answers = [answer("a"), answer("b", route="batch"), answer("a", route="shadow")]

    result = joined(answers, [label("a"), label("b")])

    assert result.answers["request"].to_pylist() == result.shadow["request"].to_pylist() == ["a"]
    assert counts(result) == {FIRST: 1, UNKNOWN: 1}
