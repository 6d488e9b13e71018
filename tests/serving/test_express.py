"""The short way, and where it leaves off."""

import io
import time

import orjson

from serving.board import Board
from serving.express import Express, RequestIds
from serving.limits import Limits
from serving.metrics import Meter
from serving.slots import WAIT_SECONDS, Slot, Slots
from tests.serving import bundles

BODY = orjson.dumps({"instances": bundles.IMAGES[:1].tolist()})
REQUEST = {
    "PATH_INFO": "/v1/models/digits:predict",
    "REQUEST_METHOD": "POST",
    "CONTENT_TYPE": "application/json",
    "CONTENT_LENGTH": str(len(BODY)),
}


def test_a_version_that_is_still_loading_is_waited_for_behind_it_and_not_twice():
    # Given a worker that has not loaded yet what its host answers with.
    slots = Slots()
    slots.add(Slot(bundles.MODEL, Board.alone())).board.flip(1)
    bodies = []

    def behind(environ, start_response):
        bodies.append(environ["wsgi.input"].read())
        return [b"from behind"]

    express = Express(behind, slots=slots, limits=Limits(), meter=Meter(), ids=RequestIds())

    began = time.monotonic()
    answer = express(REQUEST | {"wsgi.input": io.BytesIO(BODY)}, lambda *_: None)

    assert time.monotonic() - began < WAIT_SECONDS / 2
    assert (answer, bodies) == ([b"from behind"], [BODY])
