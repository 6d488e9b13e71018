"""What a flow finds out before it does anything."""

import models
from flows.reproduce import scratch
from store.manifest import Override
from tasks import lineage
from tasks.reconsider import may_return
from tests.examples import manifest

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
        assert scratch(made).name == f"reproduce-{made.version}-{now.digest[:12]}"


def test_a_version_returns_when_it_takes_today_s_tensors_and_passed_its_gates():
    (image,) = DEFINITION.tensors.inputs
    larger = image.model_copy(update={"shape": (32, 32)})
    other = DEFINITION.tensors.model_copy(update={"inputs": (larger,)})
    overruled = Override(by="ann", reason="so")

    assert may_return(MADE, DEFINITION)
    assert not may_return(MADE.model_copy(update={"tensors": other}), DEFINITION)
    assert not may_return(MADE.model_copy(update={"override": overruled}), DEFINITION)
