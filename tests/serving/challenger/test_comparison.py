"""Comparisons of champion and challenger: counted, bounded, and logged with both answers."""

import weakref
from pathlib import Path

import numpy as np
import pytest

from overnight.serving.challenger.comparison import (
    QUEUED,
    QUEUED_BYTES,
    AnswerComparison,
    compare,
)
from overnight.serving.challenger.counters import ChallengeCounters
from overnight.serving.challenger.router import RecordingVersion
from overnight.serving.inference.runtime import Predictor
from overnight.serving.lifecycle.model_slots import LoadedVersion
from overnight.store.registry.challenge_terms import Terms
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles, published
from tests.support.serving.challenges import (
    ALWAYS_ZERO,
    CANARY,
    CHALLENGERS_THAT_FAIL,
    NUMBERS,
    PREDICT,
    SHADOW,
    Broken,
    ChallengeSetup,
    Slow,
    ask,
    one,
    plain,
    replace,
    started,
)

CHAMPION = bundles.version_name(1)
WORDS = Path(__file__).parents[2] / "goldens" / "tabular" / "predictor.tflite"
FOURS = bundles.IMAGES  # the champion's answer to noise


@pytest.mark.parametrize("what", [name for name in CHALLENGERS_THAT_FAIL if "other" not in name])
def test_no_request_fails_because_of_a_shadow(what):
    setup = ChallengeSetup(SHADOW, **CHALLENGERS_THAT_FAIL[what])
    if what == "raises":
        replace(setup, Broken)
    client = setup.client()

    versions = {ask(client, one()).headers["X-Model-Version"] for _ in range(10)}
    setup.settle()

    assert versions == {CHAMPION}
    assert (setup.stats().requests, setup.stats().errors, setup.stats().compared) == (10, 10, 0)


@pytest.mark.parametrize("terms", [SHADOW, CANARY])
def test_answers_are_compared_whichever_version_gave_them(terms, caplog):
    setup = ChallengeSetup(terms, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    client = setup.client()

    with caplog.at_level("INFO", logger="overnight.serving.challenger.counters"):
        response = client.post(PREDICT, json=one(), headers={"X-Request-Id": "a-request"})
        setup.settle()

    assert response.status_code == 200
    tally = setup.stats()
    assert (tally.requests, tally.errors, tally.compared, tally.disagreements) == (1, 0, 1, 1.0)
    (line,) = [record for record in caplog.records if "otherwise" in record.getMessage()]
    assert line.request_id == "a-request"
    assert (np.argmax(line.champion_answer), np.argmax(line.challenger_answer)) == (4, 0)


def test_a_batch_counts_by_the_share_of_its_rows_that_differ():
    # Given a challenger that agrees on blank pictures only.
    setup = ChallengeSetup(SHADOW, number=ALWAYS_ZERO, bundle=plain(ALWAYS_ZERO))
    batch = np.concatenate([np.zeros((3, 28, 28), np.uint8), FOURS[:1]])

    ask(setup.client(), one(batch))
    setup.settle()

    assert (setup.stats().compared, setup.stats().disagreements) == (1, 0.25)


@pytest.mark.parametrize(("tolerance", "differs"), [(0.0001, 1.0), (1.0, 0.0)])
def test_numbers_without_classes_agree_within_the_tolerance(tolerance, differs):
    terms = Terms(mode="shadow", share=1.0, tolerance=tolerance)
    setup = ChallengeSetup(terms, number=8, tensors=NUMBERS, champions=NUMBERS)

    ask(setup.client())
    setup.settle()

    assert (setup.stats().compared, setup.stats().disagreements) == (1, differs)


def test_classes_in_another_order_are_compared_by_name():
    # Given a challenger with the champion's network, whose classes are called the other way round.
    turned = bundles.TENSORS.model_copy(update={"labels": bundles.TENSORS.labels[::-1]})
    setup = ChallengeSetup(SHADOW, bundle=plain(1), tensors=turned)

    ask(setup.client(), one())
    setup.settle()

    assert (setup.stats().compared, setup.stats().disagreements) == (1, 1.0)


def test_texts_and_lists_are_compared_and_copied():
    # Given a champion and a challenger that number their words otherwise.
    files = published.files()
    turned = published.TITLE.model_copy(
        update={"text": published.WORDS.model_copy(update={"pieces": ("blau", "green", "red")})}
    )
    versions = [
        LoadedVersion(
            1, Predictor(bundles.manifest(1, files, tensors=tensors), body, threads=1), None
        )
        for tensors in (published.TENSORS, published.TENSORS.with_inputs({"title": turned}))
        for body in (files["predictor.tflite"],)
    ]
    clicks = np.empty(2, object)
    clicks[:] = [np.array([1.0]), np.array([2.0, 3.0])]
    inputs = {
        "title": np.array(["green", "red"], object),
        "price": np.array([1, np.nan], np.float32),
        "shop": np.array([np.nan, 1]),
        "clicks": clicks,
    }
    recording = RecordingVersion(versions[0])
    recording.predict(inputs, ["sent"])
    call = recording.call.copied()
    counters = ChallengeCounters(bundles.MODEL, started(2, SHADOW), "shadow")
    clicks[1][:] = 0

    compare(
        AnswerComparison(call, *versions, SHADOW, counters, by_challenger=False, request_id="id"),
        turn=1,
    )

    # Then only the row with the renumbered word differs, and the answers are finite.
    assert counters.stats().compared == 1
    assert counters.stats().disagreements == 0.5
    assert call.inputs["clicks"][1].tolist() == [2.0, 3.0]
    assert call.input_bytes > sum(len(text) for text in ("green", "red"))


def test_a_challenger_of_other_classes_cannot_be_compared_and_the_log_says_so(caplog):
    other = bundles.TENSORS.model_copy(update={"labels": ("zero", *bundles.TENSORS.labels[1:])})
    setup = ChallengeSetup(SHADOW, tensors=other)

    with caplog.at_level("INFO", logger="overnight.serving.challenger.counters"):
        assert ask(setup.client(), one()).status_code == 200
        setup.settle()

    assert (setup.stats().errors, setup.stats().compared) == (1, 0)
    assert ["'zero' only in the other" in line.error for line in caplog.records] == [True]


def worded(number: int, *vocabulary: str) -> LoadedVersion:
    """A version that answers the sum of the numbers of three words, as its vocabulary has them."""
    specs = (
        TensorSpec(name="price", datatype="FP32", shape=()),
        TensorSpec(name="promoted", datatype="BOOL", shape=()),
        TensorSpec(name="week", datatype="INT32", shape=(3,), vocabulary=vocabulary),
    )
    units = TensorSpec(name="units", datatype="FP32", shape=(1,))
    manifest = bundles.manifest(number, {}, tensors=Schema(inputs=specs, outputs=(units,)))
    return LoadedVersion(1, Predictor(manifest, WORDS.read_bytes(), threads=1), None)


def compared(challenger: LoadedVersion, *, by_challenger: bool) -> ChallengeCounters:
    """One request for `bread, bread, milk` to a champion, or a challenger, and the comparison."""
    champion = worded(1, "bread", "milk", "eggs")
    asked = challenger if by_challenger else champion
    (week,) = (spec for spec in asked.predictor.inputs if spec.name == "week")
    rows = np.array([[week.vocabulary.index(word) for word in ("bread", "bread", "milk")]])
    recording = RecordingVersion(asked)
    inputs = {"price": np.zeros(1, "f4"), "promoted": np.zeros(1, bool), "week": rows.astype("i4")}
    recording.predict(inputs, ["units"])
    assert recording.call is not None
    counters = ChallengeCounters(bundles.MODEL, started(2, SHADOW), "shadow")
    waiting = AnswerComparison(
        recording.call,
        champion=champion,
        challenger=challenger,
        terms=SHADOW,
        counters=counters,
        by_challenger=by_challenger,
        request_id="r",
    )
    compare(waiting, turn=4)
    return counters


@pytest.mark.parametrize("by_challenger", [False, True])
@pytest.mark.parametrize(
    ("vocabulary", "answer"),
    [
        (("bread", "milk", "eggs"), 1),
        (("eggs", "milk", "bread"), 5),
        (("bread", "eggs", "milk"), 2),
    ],
)
def test_each_version_is_sent_words_by_its_own_numbers(vocabulary, answer, by_challenger, caplog):
    with caplog.at_level("INFO", logger="overnight.serving.challenger.counters"):
        stats = compared(worded(2, *vocabulary), by_challenger=by_challenger).stats()

    assert (stats.errors, stats.compared, stats.disagreements) == (0, 1, float(answer != 1))
    for line in caplog.records:
        assert (line.champion_answer, line.challenger_answer) == ([1.0], [float(answer)])


def test_a_word_that_the_challenger_lacks_is_its_failure():
    stats = compared(worded(2, "milk", "eggs"), by_challenger=False).stats()

    assert (stats.errors, stats.compared) == (1, 0)


def test_requests_that_find_the_queue_full_are_dropped_and_counted():
    setup = ChallengeSetup(SHADOW)
    client = setup.client()

    for _ in range(QUEUED + 7):
        assert ask(client).status_code == 200
    setup.settle()

    assert (setup.stats().compared, setup.stats().dropped) == (QUEUED, 7)


def test_large_batches_fill_the_queue_by_their_bytes():
    setup = ChallengeSetup(SHADOW)
    batch = {"image": np.zeros((QUEUED_BYTES // 784 // 3, 28, 28), np.uint8)}

    for _ in range(5):
        setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))

    assert (setup.comparisons.waiting, setup.stats().dropped) == (3, 2)
    setup.settle()
    setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(batch, ["probabilities"]))
    assert setup.comparisons.waiting == 1


def test_a_share_of_the_requests_is_shadowed():
    setup = ChallengeSetup(Terms(mode="shadow", share=0.5))
    client = setup.client()

    for _ in range(200):
        ask(client)
    setup.settle()

    # Seven standard deviations: a fair coin fails this once in a million million.
    assert 50 < setup.stats().requests < 150


def test_a_slower_challenger_is_recognised_by_its_cpu_time():
    setup, fair = ChallengeSetup(SHADOW), ChallengeSetup(SHADOW)
    replace(setup, Slow)

    for each in (setup, fair):
        client = each.client()
        for _ in range(120):
            ask(client)
        each.settle()

    assert setup.stats().timed == 30
    assert setup.stats().slowdown > 1.5 * fair.stats().slowdown


def test_a_queued_request_keeps_its_rows_and_not_its_whole_body():
    setup = ChallengeSetup(SHADOW)
    body = np.zeros(10_000_000, np.uint8)
    seen = weakref.ref(body)

    def ask_for_a_row_of(body):
        rows = {"image": body[:784].reshape(1, 28, 28)}
        setup.router.predict(bundles.MODEL, lambda loaded: loaded.predict(rows, ["probabilities"]))

    ask_for_a_row_of(body)
    del body

    assert setup.comparisons.waiting == 1
    assert seen() is None
    setup.settle()
    assert setup.stats().compared == 1
