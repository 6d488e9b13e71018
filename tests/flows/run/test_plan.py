"""The plan of a run: scratch folder, initial weights, requester."""

import pytest

from overnight import models
from overnight.flows.run.context import ModelContext
from overnight.store.registry.manifest import Override
from overnight.tasks.evaluation.reinstate import is_eligible
from overnight.tasks.training import lineage
from tests.support.examples import manifest

DEFINITION = models.find("digits")
MADE = manifest().model_copy(update={"tensors": DEFINITION.tensors})


def test_a_version_is_reproduced_in_a_folder_of_the_sources_that_fit(tmp_path, monkeypatch):
    # Late: Prefect takes a second to import, and every worker collects this file.
    from overnight.flows.reproduce import scratch

    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    now = lineage.code(DEFINITION)
    # Made outside a checkout: its sources are not available, so those here are used.
    lost = MADE.model_copy(update={"code": MADE.code.model_copy(update={"commit": ""})})
    same = MADE.model_copy(update={"code": now})

    assert lost.code.digest != now.digest
    for made in (lost, same):
        assert (
            scratch(ModelContext.open("digits"), made).name
            == f"reproduce-{made.version}-{now.digest[:12]}"
        )


@pytest.mark.parametrize(
    ("learned", "judges", "warm"),
    [
        ({}, {}, True),
        ({}, {"holdout_digest": "9" * 64}, False),
        ({"judged_from": "2017-05-01"}, {"judged_from": "2017-05-02"}, True),
        ({"judged_from": "2017-05-01"}, {"judged_from": "2017-05-01"}, True),
        ({"judged_from": "2017-05-02"}, {"judged_from": "2017-05-01"}, False),
        ({}, {"judged_from": "2017-05-01"}, False),
    ],
    ids=[
        "frozen",
        "another holdout",
        "a later holdout",
        "same days",
        "an earlier holdout",
        "all learned",
    ],
)
def test_a_run_starts_from_the_champion_unless_it_learned_rows_of_the_holdout(
    tmp_path, monkeypatch, learned, judges, warm
):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    champion = MADE.model_copy(update={"data": MADE.data.model_copy(update=learned)})
    data = MADE.data.model_copy(update=judges)

    context = ModelContext.open("digits")

    assert context.is_warm("champion", champion, data) is warm
    assert not context.is_warm("champion", None, data)
    assert not context.is_warm("scratch", champion, data)


def test_a_run_does_not_start_from_weights_for_other_numbers_of_the_classes(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    tensors = DEFINITION.tensors.model_copy(update={"labels": DEFINITION.tensors.labels[::-1]})
    champion = MADE.model_copy(update={"tensors": tensors})

    assert not ModelContext.open("digits").is_warm("champion", champion, MADE.data)


@pytest.mark.parametrize(
    ("requested_by", "reason", "forced", "expected"),
    [
        ("ann", "a short fit ", True, ("ann", "a short fit", "forced: a short fit")),
        ("ann", " ", True, ("ann", "forced by ann", "forced by ann")),
        ("", "", True, ("an operator", "forced by an operator", "forced by an operator")),
        ("ann", "a short fit", False, ("ann", "a short fit", "a short fit")),
        ("", "", False, ("an operator", "", "")),
    ],
)
def test_requester_and_reason_have_defaults(requested_by, reason, forced, expected):
    # Late: Prefect takes a second to import, and every worker collects this file.
    from overnight.flows.run.plan import run_lineage

    run = run_lineage(requested_by, reason, forced=forced, override=None)

    assert (run.by, run.reason, run.why) == expected
    assert (run.forced, run.authenticated) == (forced, False)


@pytest.mark.parametrize("authenticated", [True, False])
def test_the_requester_of_an_override_is_the_one_who_was_authorized(authenticated):
    # Late: Prefect takes a second to import, and every worker collects this file.
    from overnight.flows.run.plan import run_lineage

    override = Override(by="ada", reason="so", authenticated=authenticated)

    run = run_lineage("the king", "so", forced=False, override=override)

    assert (run.by, run.authenticated, run.reason) == ("ada", authenticated, "so")


def test_a_version_may_be_reinstated_when_its_tensors_fit_and_no_gate_was_overridden():
    (image,) = DEFINITION.tensors.inputs
    larger = image.model_copy(update={"shape": (32, 32)})
    other = DEFINITION.tensors.model_copy(update={"inputs": (larger,)})
    override = Override(by="ann", reason="so")

    assert is_eligible(MADE, DEFINITION)
    assert not is_eligible(MADE.model_copy(update={"tensors": other}), DEFINITION)
    assert not is_eligible(MADE.model_copy(update={"override": override}), DEFINITION)
