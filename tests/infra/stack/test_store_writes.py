"""The supervisor notices a store that answers and takes no writes."""

import pytest

from overnight.infra.stack.store_writes import StoreWrites
from overnight.store.errors import StoreDenied, StoreUnavailable
from overnight.store.objects.memory import MemoryBucket

BROKEN = StoreUnavailable("http://store", "500 InternalError", answered=True)
BUSY = StoreUnavailable("http://store", "ReadTimeoutError")
DENIED = StoreDenied("http://store", "NoSuchBucket")


class Failing(MemoryBucket):
    """A bucket whose next writes fail as listed; None is one that succeeds."""

    def __init__(self, *outcomes: Exception | None) -> None:
        super().__init__()
        self.outcomes = list(outcomes)

    def create(self, key: str, body: bytes) -> None:
        if (outcome := self.outcomes.pop(0)) is not None:
            raise outcome
        super().create(key, body)


@pytest.mark.parametrize(
    ("outcomes", "stuck"),
    [
        ([None, None], [False, False]),
        ([BROKEN, BROKEN, None], [True, True, False]),
        ([BUSY, BROKEN, BUSY, None], [False, True, True, False]),
        ([DENIED, DENIED], [False, False]),
    ],
)
def test_a_store_is_stuck_from_a_refused_write_to_the_next_that_succeeds(outcomes, stuck):
    bucket = Failing(*outcomes)
    writes = StoreWrites(bucket, lambda: True, every_seconds=0)

    assert [writes.stuck() for _ in outcomes] == stuck
    assert bucket.keys_below("probe") == []


def test_a_full_disk_is_no_reason_to_restart_and_is_asked_again():
    room = [False]
    writes = StoreWrites(Failing(BROKEN, BROKEN, BROKEN, None), lambda: room[0], every_seconds=0)

    full = writes.stuck(), writes.stuck()
    room[0] = True

    assert full == (False, False)
    assert writes.stuck()
    assert not writes.stuck()


def test_a_store_that_takes_writes_is_asked_now_and_then_only():
    bucket = Failing()
    writes = StoreWrites(bucket, lambda: True, every_seconds=3_600)

    assert not writes.stuck()
    assert not writes.stuck()
