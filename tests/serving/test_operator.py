"""Serving with the rights it needs and no more, and a credential apart for administrators."""

from collections.abc import Iterator

import pytest

from overnight.infra import identities
from overnight.infra.identities import Credentials
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bucket_history, bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

pytestmark = pytest.mark.servers
BUCKET, TOKEN = "overnight-tests", "a-token-for-tests-only"
KNOWN = {name: Credentials(name, f"the-secret-of-{name}") for name in identities.NAMES}
KNOWN["administration"] = Credentials(ACCESS, SECRET)
FIRST, SECOND = (bundles.version_name(number) for number in (1, 2))


@pytest.fixture(scope="module")
def bucket(tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3Bucket]:
    """Two approved versions; the second is champion."""
    config = identities.for_seaweedfs(BUCKET, KNOWN)
    with seaweed(tmp_path_factory.mktemp("s3"), config_text=config, bucket=BUCKET) as endpoint:
        store = S3Bucket(S3Address(endpoint, BUCKET, ACCESS, SECRET))
        for number in (1, 2):
            bucket_history.publish(store, number)
            bucket_history.promote(store, number)
        yield store


def asked_to_roll_back(bucket: S3Bucket, place, **operator: str) -> tuple[int, object]:
    serves = KNOWN["serving"]
    address = S3Address(bucket.address.endpoint, BUCKET, serves.access_key, serves.secret_key)
    settings = follow_settings(address, admin_token=TOKEN, **operator)
    with run_serving(place=place, **settings) as serving:
        until(lambda: serving.version() == SECOND, what="the champion served")
        status, _, body = serving.request(
            "POST",
            "/api/models/digits/rollback",
            {"reason": "a test"},
            Authorization=f"Bearer {TOKEN}",
        )
        log = alias_log(bucket, "digits")
        # Its own word about the champion needs no more than its own rights.
        until(lambda: log.acknowledgements(2), what="the word of the replica")
    return status, body


def test_without_a_credential_of_its_own_the_request_is_refused_and_serving_goes_on(
    bucket: S3Bucket, tmp_path
) -> None:
    status, body = asked_to_roll_back(bucket, tmp_path)

    assert status == 503
    assert "denies access (AccessDenied)" in str(body)
    current = alias_log(bucket, "digits").current()
    assert current is not None
    assert current.version == SECOND


def test_with_it_the_alias_moves_and_the_record_says_who_proved_to_ask(
    bucket: S3Bucket, tmp_path
) -> None:
    credentials = KNOWN["operator"]
    operator = {
        "s3_operator_access_key": credentials.access_key,
        "s3_operator_secret_key": credentials.secret_key,
    }

    status, body = asked_to_roll_back(bucket, tmp_path, **operator)

    assert status == 200, body
    current = alias_log(bucket, "digits").current()
    assert current is not None
    assert (current.version, current.by, current.authenticated) == (FIRST, "operator", True)
