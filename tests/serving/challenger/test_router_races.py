"""A challenger whose champion, or which itself, moves while it answers."""

import gc
import weakref
from collections.abc import Callable

import numpy as np
import pytest

from overnight.serving.challenger.router import Router, is_chosen
from overnight.serving.errors import BadInput
from overnight.serving.host.alias_state import SharedGeneration
from overnight.serving.lifecycle.model_slots import LoadedVersion, ModelSlot
from tests.support.serving import bundles
from tests.support.serving.challenges import (
    BLANK,
    CANARY,
    SHADOW,
    Broken,
    ChallengeSetup,
    ask,
    one,
    opened,
    replace,
    started,
)

CHAMPION, CHALLENGER = bundles.version_name(1), bundles.version_name(2)


class Meanwhile(ModelSlot):
    """A champion's slot with a side effect, once, when its current version is read."""

    happens: Callable[[], object] | None = None

    def current(self) -> LoadedVersion | None:
        if self.happens is not None:
            happens, self.happens = self.happens, None
            happens()
        return super().current()


def answer(router: Router) -> str:
    _, loaded, _ = router.predict(
        bundles.MODEL,
        lambda loaded: loaded.predict({"image": BLANK}, ["probabilities"]),
        client="somebody",
    )
    return loaded.version


def test_a_late_request_neither_gets_the_next_challenger_nor_resets_its_counters():
    setup = ChallengeSetup(CANARY)
    champion = Meanwhile(bundles.MODEL, SharedGeneration.in_process())
    champion.put(setup.champion.current())
    champion.shared.activate(1)
    router = setup.beside(champion)

    def next_begins() -> None:
        slot = setup.challenger.slot
        slot.put(
            LoadedVersion(2, slot.current().predictor, started(2, CANARY, identity="the next"))
        )
        slot.shared.activate(2)
        assert answer(router) == CHALLENGER

    # When the next begins between a request's reads of challenger and champion.
    champion.happens = next_begins

    assert answer(router) == CHAMPION
    assert (setup.stats().record, setup.stats().requests) == ("the next", 1)
    assert answer(router) == CHALLENGER
    assert (setup.stats().record, setup.stats().requests) == ("the next", 2)


@pytest.mark.parametrize("terms", [CANARY, SHADOW])
def test_a_challenger_is_freed_once_its_challenge_is_over(terms):
    setup = ChallengeSetup(terms)
    answer(setup.router)
    setup.settle()
    slot = setup.challenger.slot
    seen = weakref.ref(slot.current().predictor)

    slot.shared.clear()
    slot.drop(keep=set())

    gc.collect()
    assert seen() is None


def test_a_named_version_is_answered_from_the_champions_slot_where_it_is_there():
    # Given a challenger that served before, and is out of order as a challenger only.
    setup = ChallengeSetup(SHADOW)
    champion = setup.champion
    champion.put(LoadedVersion(2, opened(2, bundles.files(2), bundles.TENSORS), None))
    champion.put(LoadedVersion(3, champion.current().predictor, None))
    champion.shared.activate(3)
    replace(setup, Broken)

    path = f"/v1/models/digits/versions/{CHALLENGER}:predict"
    response = ask(setup.client(), path=path)

    assert (response.status_code, response.headers["X-Model-Version"]) == (200, CHALLENGER)


def test_a_request_that_neither_version_can_answer_is_no_failure_of_a_canary():
    setup = ChallengeSetup(CANARY)
    replace(setup, Broken)
    client = setup.client()

    # When an answer that the canary fails at is one that the champion refuses.
    def answering(loaded: LoadedVersion) -> None:
        loaded.predict({"image": BLANK}, ["probabilities"])
        raise BadInput("image", expected="what nobody sends", found="this")

    with pytest.raises(BadInput):
        setup.router.predict(bundles.MODEL, answering, client="somebody")

    assert setup.stats().requests == 0
    ask(client, one())
    assert setup.stats().errors == 1


@pytest.mark.parametrize("challenge", ["x" * 65, "x" * 10_000, "é\ud800"])
def test_any_id_of_a_challenge_draws_clients(challenge):
    chosen = [is_chosen(challenge, f"client-{number}", 0.5) for number in range(400)]

    assert 0.3 < np.mean(chosen) < 0.7
