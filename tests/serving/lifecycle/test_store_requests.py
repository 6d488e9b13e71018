"""The requests of a host to the store, as a proxy between the two sees them."""

from collections.abc import Iterator

import pytest

from tests.support.faults.fault_proxy import FaultProxy
from tests.support.serving import bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.serving.stepped_host import promote
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = [pytest.mark.servers, pytest.mark.timeout(120)]


@pytest.fixture
def between(s3_endpoint: str) -> Iterator[FaultProxy]:
    with FaultProxy(s3_endpoint) as proxy:
        yield proxy


def test_a_version_is_fetched_once_for_all_workers_of_a_host(bucket, address, between, tmp_path):
    log = alias_log(bucket, bundles.MODEL)
    settings = follow_settings(address, serving_workers="3") | {"s3_endpoint": between.endpoint}
    with run_serving(place=tmp_path, **settings) as serving:
        for number in (1, 2):
            bundles.publish(bucket, number)
            promote(log, number)
            until(lambda number=number: log.acknowledgements(number), what="it is acknowledged")
        answering = {serving.version() for _ in range(20)}

    assert answering == {bundles.version_name(2)}
    for number in (1, 2):
        folder = f"/models/digits/versions/{bundles.version_name(number)}"
        for name in bundles.files(number):
            requests = [path for _, path in between.requested if path.endswith(f"{folder}/{name}")]
            assert len(requests) == 1, name


def test_following_reads_the_next_record_and_lists_no_versions(bucket, address, between, tmp_path):
    log = alias_log(bucket, bundles.MODEL)
    bundles.publish(bucket, 1)
    promote(log, 1)
    settings = follow_settings(address, serving_models="digits") | {"s3_endpoint": between.endpoint}
    with run_serving(place=tmp_path, **settings):
        until(lambda: log.acknowledgements(1), what="it is acknowledged")
        until(lambda: _reads_of_record(between, 2) > 2, what="it polled again")
        before = len(between.requested)
        until(lambda: _reads_of_record(between, 2, since=before) > 20, what="it polled on")
        requests = between.requested[before:]

    # Only small objects that may have come meanwhile: records, and decisions that are missing.
    assert {method for method, _ in requests} == {"GET"}
    assert not [path for _, path in requests if "list-type" in path]
    assert {path.rsplit("/", 1)[1] for _, path in requests} <= {
        "00000001.json", "00000002.json", "decision.json",
    }  # fmt: skip


def _reads_of_record(between: FaultProxy, sequence: int, *, since: int = 0) -> int:
    ending = f"/models/digits/aliases/champion/{sequence:08d}.json"
    return sum(path.endswith(ending) for _, path in between.requested[since:])
