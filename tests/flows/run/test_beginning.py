"""What a flow finds out before it does anything."""

import pytest

from overnight import models
from overnight.flows.reproduce import scratch
from overnight.flows.run.context import ModelContext
from overnight.flows.run.plan import run_lineage
from overnight.store.registry.manifest import Override
from overnight.tasks.evaluation.reinstate import is_eligible
from overnight.tasks.training import lineage
from tests.support.examples import manifest

DEFINITION = models.find("digits")
MADE = manifest().model_copy(update={"tensors": DEFINITION.tensors})


def test_a_version_is_reproduced_in_a_folder_of_the_sources_that_fit(tmp_path, monkeypatch):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    now = lineage.code(DEFINITION)
    # Made outside a checkout: its sources cannot be had, so those that are here fit.
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
    ids=["frozen", "another holdout", "a later night", "same days", "taken back", "all learned"],
)
def test_nothing_goes_on_from_a_champion_that_learned_what_judges(
    tmp_path, monkeypatch, learned, judges, warm
):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    champion = MADE.model_copy(update={"data": MADE.data.model_copy(update=learned)})
    tonight = MADE.data.model_copy(update=judges)

    house = ModelContext.open("digits")

    assert house.is_warm("champion", champion, tonight) is warm
    assert not house.is_warm("champion", None, tonight)
    assert not house.is_warm("scratch", champion, tonight)


@pytest.mark.parametrize(
    ("by", "reason", "forced", "told"),
    [
        ("ann", "a short fit ", True, ("ann", "a short fit", "forced: a short fit")),
        ("ann", " ", True, ("ann", "forced by ann", "forced by ann")),
        ("", "", True, ("an operator", "forced by an operator", "forced by an operator")),
        ("ann", "a short fit", False, ("ann", "a short fit", "a short fit")),
        ("", "", False, ("an operator", "", "")),
    ],
)
def test_who_asks_for_a_run_and_why_is_known_though_nobody_says(by, reason, forced, told):
    found = run_lineage(by, reason, forced=forced, override=None)

    assert (found.by, found.reason, found.why) == told
    assert (found.forced, found.authenticated) == (forced, False)


@pytest.mark.parametrize("proved", [True, False])
def test_whoever_overrules_gates_asks_under_the_name_that_was_heard(proved):
    heard = Override(by="ada", reason="so", authenticated=proved)

    found = run_lineage("the king", "so", forced=False, override=heard)

    assert (found.by, found.authenticated, found.reason) == ("ada", proved, "so")


def test_a_version_returns_when_it_takes_today_s_tensors_and_passed_its_gates():
    (image,) = DEFINITION.tensors.inputs
    larger = image.model_copy(update={"shape": (32, 32)})
    other = DEFINITION.tensors.model_copy(update={"inputs": (larger,)})
    overruled = Override(by="ann", reason="so")

    assert is_eligible(MADE, DEFINITION)
    assert not is_eligible(MADE.model_copy(update={"tensors": other}), DEFINITION)
    assert not is_eligible(MADE.model_copy(update={"override": overruled}), DEFINITION)
