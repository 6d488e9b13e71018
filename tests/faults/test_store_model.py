"""Concurrent clients that die at random, compared with a simple model of the store.

Checked are every result and error, the winner that an error names, and all that can be read
afterwards. An operation may pause just before the write that commits it while others go on, and
then finish or die there. The state machine runs over memory, over SeaweedFS, and over a store that
ignores conditions, where it must fail.
"""

import uuid
from collections.abc import Callable
from typing import ClassVar

import pytest
from hypothesis import HealthCheck, Phase, seed, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from overnight.store.errors import UnsafeStore
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.conformance import probe
from overnight.store.objects.memory import MemoryBucket
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_rules import CHALLENGER
from tests.support.faults import store_clients
from tests.support.faults.overwriting_store import OverwritingBucket
from tests.support.faults.store_clients import (
    CANARY,
    MISSING,
    SHADOW,
    VERSIONS,
    ClientOperation,
    StartedOperation,
)
from tests.support.faults.store_model import StoreModel
from tests.support.faults.tally import TALLY
from tests.support.signing_keys import alias_log

_UNDER_WAY = 3

version = st.sampled_from(VERSIONS)
any_version = st.sampled_from((*VERSIONS * 4, MISSING))
somebody = st.sampled_from(("ann", "bob", "eve"))
often = st.sampled_from((True, True, False))
arrival = st.sampled_from(("monday", "tuesday"))


class Clients(RuleBasedStateMachine):
    """Three clients, each with the champion that it read last."""

    bucket: ClassVar[Callable[[], Bucket]] = MemoryBucket
    checks_each: ClassVar[int] = 1
    # Steps of all examples of a run.
    taken: ClassVar[int] = 0

    def __init__(self) -> None:
        super().__init__()
        self.store = type(self).bucket()
        self.promises = StoreModel()
        self.seen: dict[str, str | None] = {}
        self.under_way: list[StartedOperation] = []
        self.steps = 0

    def does(self, act: ClientOperation, fate: str) -> None:
        """Start an operation; finish, pause or kill it before its commit, or kill it after."""
        TALLY.step()
        begun = StartedOperation.of(act, self.store, self.promises)
        if fate == "is held up" and begun.operation.waits and len(self.under_way) < _UNDER_WAY:
            self.under_way.append(begun)
        elif fate == "dies before" and begun.operation.waits:
            TALLY.inject("a client died before its commit")
            begun.dies()
        elif fate == "dies after" and begun.operation.waits:
            TALLY.inject("a client died after its commit")
            begun.dies_after()
        else:
            begun.ends()

    fate = st.sampled_from(("ends", "ends", "is held up", "dies before", "dies after"))

    @initialize(n=st.sampled_from((0, 3, 4, 5)))
    def begins_with(self, n: int) -> None:
        """Some versions are there and approved, the first two served, and the third challenges."""
        for version in VERSIONS[:n]:
            self.does(store_clients.publish(version, "one"), "ends")
            self.does(store_clients.judge(version, "approved", "ann"), "ends")
        for over, version in zip((None, *VERSIONS), VERSIONS[: min(n, 2)], strict=False):
            self.does(store_clients.promote(version, over, "ann"), "ends")
        if n:
            self.does(store_clients.start(VERSIONS[2], SHADOW, "ann"), "ends")

    @rule(version=version, run=st.sampled_from(("one", "other")), fate=fate)
    def publishes(self, version: str, run: str, fate: str) -> None:
        self.does(store_clients.publish(version, run), fate)

    @rule(
        version=any_version,
        verdict=st.sampled_from(("approved", "approved", "rejected")),
        by=somebody,
        fate=fate,
    )
    def decides(self, version: str, verdict: str, by: str, fate: str) -> None:
        self.does(store_clients.judge(version, verdict, by), fate)

    @rule(by=somebody)
    def looks(self, by: str) -> None:
        log = self.promises.champions
        self.seen[by] = log[-1].version if log else None

    @rule(version=any_version, by=somebody, fate=fate, looks=often)
    def promotes(self, version: str, by: str, fate: str, looks: bool) -> None:
        if looks:
            self.looks(by)
        self.does(store_clients.promote(version, self.seen.get(by), by), fate)

    @precondition(lambda self: self.promises.champions)
    @rule(by=somebody, fate=fate, looks=often)
    def rolls_back(self, by: str, fate: str, looks: bool) -> None:
        if looks:
            self.looks(by)
        self.does(store_clients.roll_back(self.seen.get(by), by), fate)

    @rule(version=any_version, terms=st.sampled_from((SHADOW, CANARY)), by=somebody, fate=fate)
    def challenges(self, version: str, terms: object, by: str, fate: str) -> None:
        self.does(store_clients.start(version, terms, by), fate)

    @precondition(lambda self: self.promises.challengers)
    @rule(over=st.one_of(st.none(), st.none(), version), by=somebody, fate=fate)
    def stops(self, over: str | None, by: str, fate: str) -> None:
        self.does(store_clients.stop(over, by), fate)

    @precondition(lambda self: self.promises.challengers)
    @rule(replica=somebody, fate=fate)
    def withdraws(self, replica: str, fate: str) -> None:
        record = alias_log(self.store, store_clients.MODEL, CHALLENGER).current()
        assert record is not None
        self.does(store_clients.withdraw(record, replica), fate)

    @precondition(lambda self: self.promises.champions)
    @rule(replica=somebody, serving=st.booleans(), fate=fate)
    def acknowledges(self, replica: str, serving: bool, fate: str) -> None:
        log = self.promises.champions
        self.does(
            store_clients.acknowledge(len(log), log[-1].version, replica, serving=serving), fate
        )

    @rule(
        arrival=arrival, verdict=st.sampled_from(("accepted", "excluded")), by=somebody, fate=fate
    )
    def speaks(self, arrival: str, verdict: str, by: str, fate: str) -> None:
        self.does(store_clients.review_arrival(arrival, verdict, by), fate)

    @rule(name=arrival, body=st.sampled_from((b"these", b"those")), by=somebody, fate=fate)
    def lands(self, name: str, body: bytes, by: str, fate: str) -> None:
        self.does(store_clients.land(name, body, by), fate)

    @precondition(lambda self: self.under_way)
    @rule(which=st.integers(0, _UNDER_WAY - 1), then=st.sampled_from(("ends", "dies after")))
    def goes_on(self, which: int, then: str) -> None:
        begun = self.under_way.pop(which % len(self.under_way))
        if then == "ends":
            begun.ends()
        else:
            TALLY.inject("a client died after its commit")
            begun.dies_after()

    @precondition(lambda self: self.under_way)
    @rule()
    def collects(self) -> None:
        """What gc takes while others are about to write of it matters most."""
        TALLY.step()
        assert store_clients.collect(self.store) == self.promises.collect()

    @invariant()
    def all_is_as_promised(self) -> None:
        self.steps += 1
        type(self).taken += 1
        if self.steps % self.checks_each == 0:
            store_clients.check(self.store, self.promises)

    def teardown(self) -> None:
        for begun in self.under_way:
            begun.operation.die()
        store_clients.check(self.store, self.promises)


def runs(
    bucket: Callable[[], Bucket], *, chance: int, examples: int, steps: int, checks_each: int = 1
) -> int:
    """Run the state machine; returns the number of steps of all examples."""
    machine = type("Over", (Clients,), {"bucket": bucket, "checks_each": checks_each})
    run_state_machine_as_test(
        seed(chance)(machine),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            database=None,
            # What fails is told as it was found; making it small takes minutes over a server.
            phases=(Phase.generate,),
            suppress_health_check=list(HealthCheck),
        ),
    )
    return machine.taken


def test_clients_over_memory_agree_with_the_model(
    faults_minutes: float, faults_seed: int, thorough: bool
) -> None:
    examples = round((100 if thorough else 20) + 400 * faults_minutes)
    runs(MemoryBucket, chance=faults_seed, examples=examples, steps=60)


@pytest.mark.servers
@pytest.mark.timeout(0)
def test_clients_over_a_real_server_agree_with_the_model(
    s3_address: S3Address, faults_minutes: float, faults_seed: int, thorough: bool
) -> None:
    def bucket() -> Bucket:
        name = f"test-{uuid.uuid4().hex[:20]}"
        made = S3Bucket(
            S3Address(s3_address.endpoint, name, s3_address.access_key, s3_address.secret_key)
        )
        made.ensure()
        return made

    examples = round((70 if thorough else 10) + 20 * faults_minutes)
    taken = runs(bucket, chance=faults_seed, examples=examples, steps=50, checks_each=10)

    assert taken >= (2_000 if thorough else 250)


def test_a_store_that_overwrites_is_refused_and_disagrees_with_the_model(faults_seed: int) -> None:
    with pytest.raises(UnsafeStore, match="a second creation of one key was accepted"):
        probe(OverwritingBucket(), where="http://careless")

    with pytest.raises(AssertionError):
        runs(OverwritingBucket, chance=faults_seed, examples=20, steps=60)
