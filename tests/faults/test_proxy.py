"""The fault proxy injects the chosen faults and changes nothing else."""

import pytest

from overnight.store.errors import AlreadyExists, OvernightError, StoreUnavailable
from overnight.store.objects.s3 import S3Address, S3Bucket
from tests.support.faults.fault_proxy import Fault, FaultKind, FaultProxy
from tests.support.limits import LIMIT

BODY = b"every byte of this counts" * 40


@pytest.fixture
def proxy(s3_endpoint):
    with FaultProxy(s3_endpoint, seed=5) as proxy:
        yield proxy


@pytest.fixture
def through(proxy, s3_bucket, s3_address) -> S3Bucket:
    """The bucket of the test through the proxy."""
    address = S3Address(
        proxy.endpoint, s3_address.bucket, s3_address.access_key, s3_address.secret_key
    )
    return S3Bucket(address)


@pytest.fixture
def impatient(through) -> S3Bucket:
    """The same for what is to go wrong: asked once, and given up soon."""
    return S3Bucket(through.address, read_seconds=0.5, tries=1)


def test_without_faults_requests_pass_and_their_signatures_are_valid(through, s3_bucket, proxy):
    through.create("a/b", BODY)

    assert through.read("a/b", LIMIT) == s3_bucket.read("a/b", LIMIT) == BODY
    assert through.keys_below("a") == ["a/b"]
    with pytest.raises(AlreadyExists):
        through.create("a/b", b"other")
    assert not proxy.injected


@pytest.mark.parametrize(
    "wrong",
    [
        FaultKind.REFUSE,
        FaultKind.HANG,
        FaultKind.FAIL,
        FaultKind.TRUNCATE_ANSWER,
        FaultKind.LOSE_ANSWER,
        FaultKind.CORRUPT_ANSWER,
    ],
)
def test_a_failed_read_raises_and_the_next_one_succeeds(
    through, impatient, s3_bucket, proxy, wrong
):
    s3_bucket.create("a/b", BODY)
    assert through.read("a/b", LIMIT) == BODY

    with proxy.wrong(Fault(wrong)), pytest.raises(StoreUnavailable):
        impatient.read("a/b", LIMIT)

    assert set(proxy.injected) == {wrong}
    assert through.read("a/b", LIMIT) == BODY


@pytest.mark.parametrize(
    ("wrong", "is_carried_out"),
    [
        (FaultKind.REFUSE, False),
        (FaultKind.HANG, False),
        (FaultKind.FAIL, False),
        (FaultKind.TRUNCATE_REQUEST, False),
        (FaultKind.LOSE_ANSWER, True),
    ],
)
def test_a_failed_write_happened_completely_or_not_at_all(
    impatient, s3_bucket, proxy, wrong, is_carried_out
):
    with proxy.wrong(Fault(wrong)), pytest.raises(StoreUnavailable):
        impatient.create("a/b", BODY)

    assert s3_bucket.keys_below("a") == (["a/b"] if is_carried_out else [])


def test_a_corrupted_body_is_refused(impatient, s3_bucket, proxy):
    with proxy.wrong(Fault(FaultKind.CORRUPT_REQUEST)), pytest.raises(OvernightError):
        impatient.create("a/b", BODY)

    assert s3_bucket.keys_below("a") == []


def test_a_delayed_request_succeeds(through, s3_bucket, proxy):
    s3_bucket.create("a/b", BODY)

    with proxy.wrong(Fault(FaultKind.DELAY, seconds=0.05)):
        assert through.read("a/b", LIMIT) == BODY

    assert proxy.injected == {FaultKind.DELAY: 1}


def test_only_selected_requests_fail(through, impatient, s3_bucket, proxy):
    s3_bucket.create("a/b", BODY)
    fault = Fault(FaultKind.FAIL, status=500, only=lambda method, path: path.endswith("/b"))

    with proxy.wrong(fault):
        with pytest.raises(StoreUnavailable, match="500"):
            impatient.read("a/b", LIMIT)
        through.create("a/c", BODY)

    assert proxy.injected == {FaultKind.FAIL: 1}
    assert s3_bucket.read("a/c", LIMIT) == BODY


def test_the_same_seed_injects_the_same_faults(s3_endpoint):
    def draw_fault(seed: int) -> list[bool]:
        with FaultProxy(s3_endpoint, seed=seed) as proxy:
            proxy.inject(Fault(FaultKind.FAIL, share=0.3))
            return [proxy.draw_fault("GET", "/") is not None for _ in range(200)]

    assert draw_fault(1) == draw_fault(1) != draw_fault(2)
    assert 30 < sum(draw_fault(1)) < 90
