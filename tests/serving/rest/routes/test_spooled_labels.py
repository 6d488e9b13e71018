"""A label that a real host accepted is on its disk, beside the answer that it is of."""

import re

import pytest

from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segment_reader import decode
from overnight.store.registry.registry import ModelRegistry
from tests.support.serving import bundles
from tests.support.serving.clients import INFER, v2
from tests.support.serving.label_spool import POLICY
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import SIGNER, alias_log
from tests.support.waiting import until

_SEGMENT = re.compile(r"[0-9a-f]{32}-\d{8}\b")
pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


def spooled_records(home):
    """The records of all segments on the disk of a host, shipped or not."""
    segments = [path for path in home.rglob("*") if _SEGMENT.match(path.name)]
    return [record for path in segments for record in decode(path.read_bytes())]


def test_a_label_is_spooled_with_its_answer(bucket, address, tmp_path):
    # Given a host whose version is published with a policy of logging.
    files = bundles.files(1)
    manifest = bundles.manifest(1, files).model_copy(update={"logged": POLICY})
    ModelRegistry(bucket, "digits").publish(manifest, files, SIGNER)
    bundles.approve(bucket, 1)
    promote(alias_log(bucket, bundles.MODEL), 1)
    settings = follow_settings(address, serving_workers="1")
    with run_serving(place=tmp_path / "home", **settings) as serving:
        until(lambda: serving.version() is not None, what="the digits answer")

        # When a request is answered and labelled.
        _, headers, _ = serving.request("POST", INFER, v2())
        label = {"request": headers["x-request-id"], "row": 1, "truth": "7"}
        status, _, report = serving.request("POST", "/api/models/digits/feedback", label)

    # Then both are in the segments that the host will ship.
    assert (status, report["accepted"]) == (200, 1)
    spooled = spooled_records(tmp_path / "home")
    (answer,) = [record for record in spooled if isinstance(record, AnsweredRequest)]
    (sent,) = [record for record in spooled if isinstance(record, SentLabel)]
    assert answer.request == sent.request == headers["x-request-id"]
    assert (sent.row, sent.truth) == (1, {"probabilities": "7"})
    assert sent.client == answer.client == "127.0.0.1"
    assert sent.at_us >= answer.at_us
