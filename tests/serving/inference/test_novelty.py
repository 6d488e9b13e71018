"""Answers say which rows are unlike what the version learned from, as each protocol allows."""

import json
from pathlib import Path

import numpy as np
import pytest
from flask.testing import FlaskClient

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.loaded_version import load_version
from overnight.serving.inference.novelty import rows_text
from overnight.serving.prediction_log.spool import PredictionSpool, SpoolConfig
from overnight.serving.rest.cloud_events import STRUCTURED
from overnight.store.novelty import SCORE_OUTPUT, UNLIKE_TRAINING, LearnedRange, NoveltyRule
from overnight.store.novelty_check import NoveltyCheck
from overnight.store.registry.challenge_terms import Terms
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles
from tests.support.serving.challenges import CANARY, SHADOW, ChallengeSetup
from tests.support.serving.clients import IMAGES, INFER, PREDICT, application_of, v2
from tests.support.serving.prediction_logs import POLICY, records_below

# The images of the tests have numbers up to 19.
DARK = NoveltyRule(false_flags=0.01, ranges={"image": LearnedRange(low=0, high=15, margin=4)})
BRIGHT = IMAGES.copy()
BRIGHT[2, 5, 5] = 200
HEADER = "X-Input-Unlike-Training"

TABLE = Schema(
    inputs=(
        TensorSpec(
            name="shop", datatype="INT32", shape=(), vocabulary=("other", "a"), otherwise="other"
        ),
        TensorSpec(name="day", datatype="INT32", shape=(), date=True),
        TensorSpec(name="recent", datatype="FP32", shape=(2,), nullable=True),
    ),
    outputs=(TensorSpec(name="units", datatype="FP32", shape=()),),
)
RANGES = {
    "day": LearnedRange(low=17_167, high=17_531, margin=91),
    "recent": LearnedRange(low=0, high=100, margin=50),
}


@pytest.fixture
def client() -> FlaskClient:
    return application_of(novelty=DARK)


def check_of(rule: NoveltyRule, tensors: Schema = TABLE) -> NoveltyCheck:
    files = bundles.files(1)
    manifest = bundles.manifest(1, files, tensors=tensors)
    return NoveltyCheck(manifest.model_copy(update={"novelty": rule}))


def rows(shop: list[int], day: list[int], recent: list[list[float]]) -> dict[str, np.ndarray]:
    return {
        "shop": np.array(shop, np.int32),
        "day": np.array(day, np.int32),
        "recent": np.array(recent, np.float32),
    }


def counted(client: FlaskClient) -> int:
    lines = client.get("/metrics").text.splitlines()
    samples = [line for line in lines if line.startswith("overnight_unlike_training_total{")]
    assert all(f'version="{bundles.version_name(1)}"' in line for line in samples)
    return sum(int(line.rpartition(" ")[2]) for line in samples)


def test_v2_says_in_its_parameters_which_rows_and_why(client: FlaskClient) -> None:
    response = client.post(INFER, json=v2(BRIGHT))

    parameters = response.json["parameters"]
    assert parameters["unlike_training_count"] == 1
    assert json.loads(parameters["unlike_training"]) == [
        {"row": 2, "input": "image", "why": "outside of 0 to 15, which was learned"}
    ]
    assert response.headers[HEADER] == "2"


def test_v1_says_it_in_a_header_alone(client: FlaskClient) -> None:
    response = client.post(PREDICT, json={"instances": BRIGHT.tolist()})

    assert set(response.json) == {"predictions"}
    assert response.headers[HEADER] == "2"


@pytest.mark.parametrize("path", [PREDICT, "/invocations"])
def test_events_and_invocations_have_the_header_too(client: FlaskClient, path: str) -> None:
    body = {"instances": BRIGHT.tolist()}
    event = {"specversion": "1.0", "id": "17", "source": "/shop", "type": "asked", "data": body}
    responses = (
        client.post(path, json=body),
        client.post(path, data=json.dumps(event), content_type=STRUCTURED),
    )

    for response in responses:
        assert (response.status_code, response.headers[HEADER]) == (200, "2")


def test_the_log_has_which_rows_were_flagged_and_the_outputs_as_ever(tmp_path: Path) -> None:
    spool = PredictionSpool(SpoolConfig(tmp_path))
    client = application_of(novelty=DARK, policy=POLICY, predictions=spool)
    for sent in (BRIGHT, IMAGES, BRIGHT[2:]):
        client.post(INFER, json=v2(sent))
    spool.close()

    outputs = sorted((each.outputs for each in records_below(tmp_path)), key=len)

    assert [set(each) for each in outputs] == [
        {"probabilities", "seen"},
        *[{"probabilities", "seen", UNLIKE_TRAINING}] * 2,
    ]
    flags = sorted((each[UNLIKE_TRAINING].tolist() for each in outputs[1:]), key=len)
    assert flags == [[True], [False, False, True]]


@pytest.mark.parametrize("terms", [SHADOW, CANARY])
def test_a_challenger_flags_what_it_answers_and_the_other_version_nothing(terms: Terms) -> None:
    setup = ChallengeSetup(terms)
    flagging = setup.champion if terms is SHADOW else setup.challenger.slot
    with flagging.lease() as loaded:
        predictor = loaded.predictor
        predictor.manifest = predictor.manifest.model_copy(update={"novelty": DARK})
        predictor.novelty = NoveltyCheck(predictor.manifest)
    client = setup.client()

    response = client.post(PREDICT, json={"instances": BRIGHT.tolist()})
    setup.settle()

    assert response.headers[HEADER] == "2"
    assert (setup.stats().compared, setup.stats().errors) == (1, 0)


def test_the_outputs_are_those_of_a_version_without_a_rule(client: FlaskClient) -> None:
    flagged = client.post(INFER, json=v2(BRIGHT)).json

    assert flagged["outputs"] == application_of().post(INFER, json=v2(BRIGHT)).json["outputs"]


def test_familiar_rows_are_answered_as_ever(client: FlaskClient) -> None:
    for path, body in ((INFER, v2()), (PREDICT, {"instances": IMAGES.tolist()})):
        response = client.post(path, json=body)

        assert response.status_code == 200
        assert HEADER not in response.headers
        assert "parameters" not in response.json
    assert counted(client) == 0


def test_unlike_rows_are_counted_by_version_but_not_of_what_only_explores(
    client: FlaskClient,
) -> None:
    client.post(INFER, json=v2(BRIGHT))
    client.post(PREDICT, json={"instances": np.stack([BRIGHT[2]] * 3).tolist()})
    client.post(INFER, json=v2(BRIGHT), headers={"X-Prediction-Log": "skip"})

    assert counted(client) == 4


def test_a_long_batch_is_flagged_across_its_chunks() -> None:
    from overnight.serving.inference.limits import Limits

    client = application_of(novelty=DARK, limits=Limits(batch_rows=64))
    images = np.zeros((40, 28, 28), np.uint8)
    images[[0, 17, 39]] = 99

    assert client.post(INFER, json=v2(images)).headers[HEADER] == "0,17,39"


def test_a_row_is_unlike_by_its_range_or_its_vocabulary_and_says_so() -> None:
    check = check_of(NoveltyRule(false_flags=0.01, ranges=RANGES))
    inputs = rows([1, 0, 1, 1], [17_600, 17_200, 21_915, 17_100], [[3, 4]] * 3 + [[3, 151]])

    ratios = check.score(inputs, {})

    assert ratios is not None
    assert (ratios > 1).tolist() == [False, True, True, True]
    assert check.reasons(inputs, ratios) == [
        {"row": 1, "input": "shop", "why": "not in its vocabulary, taken for 'other'"},
        {"row": 2, "input": "day", "why": "outside of 2017-01-01 to 2017-12-31, which was learned"},
        {"row": 3, "input": "recent", "why": "outside of 0 to 100, which was learned"},
    ]


@pytest.mark.parametrize(
    ("shop", "day", "recent"),
    [(1, 17_076, [0, 0]), (1, 17_622, [150, -50]), (1, 17_200, [np.nan, np.nan])],
)
def test_the_margin_and_missing_values_are_familiar(shop: int, day: int, recent: list) -> None:
    check = check_of(NoveltyRule(false_flags=0.01, ranges=RANGES))

    assert check.score(rows([shop], [day], [recent]), {}) is None
    assert check.score(rows([shop] * 2, [day] * 2, [recent] * 2), {}) is None


@pytest.mark.parametrize("scores", [[0.5, 3.0], [0.5, np.nan]])
def test_a_score_above_the_threshold_or_that_is_no_number_is_unlike(scores: list[float]) -> None:
    check = check_of(NoveltyRule(false_flags=0.01, rows=200, threshold=2.0), bundles.TENSORS)
    answers = {SCORE_OUTPUT: np.array(scores, np.float32)}

    ratios = check.score({"image": IMAGES[:2]}, answers)

    assert answers == {}
    assert ratios is not None
    assert (ratios > 1).tolist() == [False, True]
    assert check.reasons({"image": IMAGES[:2]}, ratios)[0]["row"] == 1


def test_a_score_at_the_threshold_is_familiar() -> None:
    check = check_of(NoveltyRule(false_flags=0.01, rows=200, threshold=2.0), bundles.TENSORS)

    assert check.score({}, {SCORE_OUTPUT: np.array([2.0], np.float32)}) is None


def test_a_predictor_without_the_score_of_its_rule_is_refused() -> None:
    files = bundles.files(1)
    rule = NoveltyRule(false_flags=0.01, rows=200, threshold=2.0)
    manifest = bundles.manifest(1, files).model_copy(update={"novelty": rule})

    with pytest.raises(UnfitVersion, match="novelty"):
        load_version(manifest, files, threads=1)


def test_a_header_lists_so_many_rows_and_says_that_there_are_more() -> None:
    assert rows_text(np.array([2.0, 0.0, np.inf])) == "0,2"
    assert rows_text(np.full(129, 2.0)).endswith(",127,...")
    assert rows_text(np.full(128, 2.0)).endswith(",127")
