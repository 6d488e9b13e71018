"""Join labels to the answers that they are labels of, and say of each label what it is.

A label names its answer by our request id or by the caller's own, and by its row. Everything else
about the answer, its version first of all, comes from the prediction log.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

# A label of an older answer than so many windows before the period counts as unknown: the range
# that is read, and so the memory, is bounded.
LOOKBACK_WINDOWS = 4
SHADOW, BATCH = "shadow", "batch"
FIRST, REPEAT, CONTRADICTION, LATE = "first", "repeat", "contradiction", "late"
UNKNOWN, AMBIGUOUS, WAITING = "unknown", "ambiguous", "waiting"
OUTCOMES = (FIRST, REPEAT, CONTRADICTION, LATE, UNKNOWN, AMBIGUOUS, WAITING)

Ints = NDArray[np.int64]
Mask = NDArray[np.bool_]
_NEVER = np.iinfo(np.int64).max
_INSTANT = pa.timestamp("us", tz="UTC")
# More rows than a request can have.
_ROWS = 2**31


@dataclass(frozen=True)
class JoinedLabels:
    """The answers that were given, and what is known of their truth at the end of a period.

    Attributes:
        answers: the rows that clients got, in the order in which they were given.
        shadow: the rows that shadows answered.
        label: for each row of `answers`: `truth`, JSON by output, null without a label that counts;
            `labelled_at`, when it was received; and `is_new`, whether the period brought it.
        sent: the settled labels in the order in which they settled, with their `outcome`, the place
            of their `answer` in `answers` or null, and `is_new`.
        counts: of the labels that settled in the period, by outcome; `waiting` is the number that
            still waits for an answer at its end.
    """

    answers: pa.Table
    shadow: pa.Table
    label: pa.Table
    sent: pa.Table
    counts: Mapping[str, int]


def read_since(since: datetime, window_days: float) -> datetime:
    """From when on answers and labels are read for a period that begins at `since`."""
    return since - timedelta(days=LOOKBACK_WINDOWS * window_days)


def join(
    answers: pa.Table,
    labels: pa.Table,
    *,
    window_days: float,
    now: datetime,
    since: datetime | None = None,
) -> JoinedLabels:
    """Join labels to answers as they were known at `now`; the period begins after `since`.

    The label that settled first stands; an equal one is a repeat; a different one a contradiction,
    after which its answer has no label. The first label that was received more than the window
    after its answer is late. A label without an answer waits for the window, and is then unknown.
    A caller's id that two requests had when the label settled is ambiguous, as is a request id that
    was sent twice. Rows that a batch run scored are no answers here, and their labels are unknown:
    a million of them at once would say nothing of the share of live answers that have a label.

    A label settles when both it and its answer are in the log: by their columns `collected`, or by
    `at` without these. So it settles in exactly one period, and the counts of consecutive periods
    add up to those of all of them at once, in whatever order answers and labels are given.

    Args:
        answers: rows of the prediction log, from `read_since` on.
        labels: rows of the log of labels, from then on.
    """
    window, until = round(window_days * 86_400e6), _instant(now)
    begin = _instant(since) if since else -1
    answers = answers.filter(pc.not_equal(answers["route"], BATCH))
    is_shadow = pc.equal(answers["route"], SHADOW)
    shadow, answers = answers.filter(is_shadow), answers.filter(pc.invert(is_shadow))
    match = _settle(_match(answers, labels), _known(labels), window, until)
    order = _in_order(labels, match.settled)
    outcome = _outcomes(match, order, labels, _late(match, answers, labels, window))
    is_settled = match.settled <= until
    is_new = is_settled & (match.settled > begin)
    counts = {name: int((outcome[is_new] == name).sum()) for name in OUTCOMES}
    counts[WAITING] = int(((_known(labels) <= until) & ~is_settled).sum())
    return JoinedLabels(
        answers=answers,
        shadow=shadow,
        label=_label(answers.num_rows, labels, match, outcome, is_new),
        sent=_sent(labels, match, outcome, is_new, order[is_settled[order]]),
        counts=counts,
    )


def is_live(routes: pa.Array | pa.ChunkedArray) -> pa.Array | pa.ChunkedArray:
    """Which answers clients got: neither those of shadows nor those of batch runs, bool [n]."""
    return pc.invert(pc.is_in(routes, value_set=pa.array([SHADOW, BATCH])))


@dataclass(frozen=True)
class _Match:
    """For each label [n] the place of its answer or -1, whether that is ambiguous, and when both
    are known: `_NEVER` without an answer.
    """

    answer: Ints
    is_ambiguous: Mask
    settled: Ints


@dataclass(frozen=True)
class _Earliest:
    """For each of some sorted keys: where it was known first, when, and when known again."""

    keys: Ints
    place: Ints
    known: Ints
    again: Ints

    def find(self, keys: Ints) -> tuple[Ints, Mask]:
        """The place of each key among these, and whether it is there."""
        if not len(self.keys):
            return np.zeros(len(keys), np.int64), np.zeros(len(keys), np.bool_)
        places = np.minimum(np.searchsorted(self.keys, keys), len(self.keys) - 1)
        return places, self.keys[places] == keys


def _earliest(keys: Ints, known: Ints) -> _Earliest:
    order = np.lexsort((known, keys))
    ordered = keys[order]
    starts = np.flatnonzero(np.diff(ordered, prepend=-1)) if len(keys) else order
    following = np.minimum(starts + 1, len(keys) - 1)
    is_again = (following > starts) & (ordered[following] == ordered[starts])
    again = np.where(is_again, known[order[following]], _NEVER)
    return _Earliest(ordered[starts], order[starts], known[order[starts]], again)


def _match(answers: pa.Table, labels: pa.Table) -> _Match:
    """Find the answer of each label by request id, or by the caller's id where that is empty."""
    requests, callers = (pc.unique(answers[name]) for name in ("request", "caller"))
    known = _known(answers)
    request, caller = _codes(answers["request"], requests), _codes(answers["caller"], callers)
    # A request is one, however many rows it has: of each pair of caller's id and request, the
    # earliest row; and of these the earliest request of each id.
    pairs = _earliest(caller * max(len(requests), 1) + request, known)
    of_caller = _earliest(caller[pairs.place], pairs.known)
    place, has_caller = of_caller.find(_codes(labels["caller"], callers))
    has_request = pc.not_equal(labels["request"], "").to_numpy()
    by_caller = ~has_request & has_caller & pc.not_equal(labels["caller"], "").to_numpy()
    named = _codes(labels["request"], requests)
    since, again = np.zeros(len(named), np.int64), np.full(len(named), _NEVER)
    named[~has_request] = -1
    named[by_caller] = request[pairs.place[of_caller.place[place[by_caller]]]]
    again[by_caller] = of_caller.again[place[by_caller]]
    rows = _earliest(request * _ROWS + answers["row"].to_numpy(), known)
    place, is_found = rows.find(named * _ROWS + labels["row"].to_numpy())
    is_found &= named >= 0
    answer = np.full(len(named), -1, np.int64)
    answer[is_found] = rows.place[place[is_found]]
    since[is_found] = rows.known[place[is_found]]
    again[is_found] = np.minimum(again[is_found], rows.again[place[is_found]])
    settled = np.where(is_found, np.maximum(since, _known(labels)), _NEVER)
    return _Match(answer, is_found & (again <= settled), settled)


def _settle(match: _Match, known: Ints, window: int, until: int) -> _Match:
    """The same, in which a label without an answer settles when the window is over.

    An answer that is known only after that changes nothing any more.
    """
    is_found = (match.answer >= 0) & (match.settled <= known + window)
    settled = np.where(is_found, match.settled, known + window)
    is_ambiguous = is_found & match.is_ambiguous
    answer = np.where(is_found & ~is_ambiguous & (settled <= until), match.answer, -1)
    return _Match(answer, is_ambiguous, settled)


def _late(match: _Match, answers: pa.Table, labels: pa.Table, window: int) -> Mask:
    is_late = np.zeros(labels.num_rows, np.bool_)
    joined = match.answer >= 0
    answered = _times(answers["at"])[match.answer[joined]]
    is_late[joined] = _times(labels["at"])[joined] > answered + window
    return is_late


def _outcomes(match: _Match, order: Ints, labels: pa.Table, late: Mask) -> NDArray[np.str_]:
    outcome = np.where(match.is_ambiguous, AMBIGUOUS, UNKNOWN).astype("<U13")
    joined = order[match.answer[order] >= 0]
    # Stable, so that the labels of each answer stay in the order in which they settled.
    grouped = joined[np.argsort(match.answer[joined], kind="stable")]
    starts = np.flatnonzero(np.diff(match.answer[grouped], prepend=-1))
    sizes = np.diff(starts, append=len(grouped))
    truth = _codes(labels["truth"], pc.unique(labels["truth"]))[grouped]
    first = np.repeat(grouped[starts], sizes)
    is_first = grouped == first
    equal = truth == np.repeat(truth[starts], sizes)
    outcome[grouped] = np.where(is_first, FIRST, np.where(equal, REPEAT, CONTRADICTION))
    outcome[(outcome == FIRST) & late] = LATE
    return outcome


def _label(
    n: int, labels: pa.Table, match: _Match, outcome: NDArray[np.str_], is_new: Mask
) -> pa.Table:
    stands = np.full(n, -1, np.int64)
    first = np.flatnonzero((outcome == FIRST) & (match.answer >= 0))
    stands[match.answer[first]] = first
    stands[match.answer[(outcome == CONTRADICTION) & (match.answer >= 0)]] = -1
    places = pa.array(stands, mask=stands < 0)
    became_known = np.zeros(n, np.bool_)
    became_known[stands >= 0] = is_new[stands[stands >= 0]]
    return pa.table(
        {
            "truth": pc.take(labels["truth"], places),
            "labelled_at": pc.take(labels["at"], places).cast(_INSTANT),
            "is_new": pa.array(became_known, pa.bool_()),
        }
    )


def _sent(
    labels: pa.Table, match: _Match, outcome: NDArray[np.str_], is_new: Mask, chosen: Ints
) -> pa.Table:
    answer = match.answer[chosen]
    added: dict[str, Any] = {
        "outcome": pa.array(outcome[chosen], pa.string()),
        "answer": pa.array(answer, pa.int64(), mask=answer < 0),
        "is_new": pa.array(is_new[chosen], pa.bool_()),
    }
    sent = labels.take(pa.array(chosen, pa.int64()))
    for name, column in added.items():
        sent = sent.append_column(name, column)
    return sent


def _in_order(labels: pa.Table, settled: Ints) -> Ints:
    """The order in which labels settled; ties by their contents, never by their place."""
    names = ("at", "truth", "client", "origin", "request", "caller", "row")
    table = labels.select(list(names)).append_column("settled", pa.array(settled, pa.int64()))
    by = [(name, "ascending") for name in ("settled", *names)]
    order: Ints = pc.sort_indices(table, sort_keys=by).to_numpy().astype(np.int64)
    return order


def _codes(values: pa.ChunkedArray, among: pa.Array) -> Ints:
    """The place of each value in `among`, or -1."""
    places = pc.fill_null(pc.index_in(values, value_set=among), -1)
    codes: Ints = places.to_numpy().astype(np.int64)
    return codes


def _known(table: pa.Table) -> Ints:
    """When each row was in the log."""
    return _times(table["collected" if "collected" in table.column_names else "at"])


def _times(values: pa.ChunkedArray) -> Ints:
    times: Ints = values.cast(_INSTANT).cast(pa.int64()).to_numpy()
    return times


def _instant(at: datetime) -> int:
    moment: int = pa.scalar(at, _INSTANT).value
    return moment
