"""Workers of one host that follow a real bucket."""

from collections.abc import Callable

import pytest
from flask.testing import FlaskClient

from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.lifecycle.probe import Probe
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.alias_rules import CHALLENGER
from overnight.store.trust.trusted_keys import Trust
from tests.support.serving import bundles
from tests.support.serving.clients import application_of
from tests.support.serving.stepped_host import Unprobed, promote, settle
from tests.support.signing_keys import SIGNER, TRUST, alias_log


@pytest.fixture
def address(s3_address: S3Address) -> S3Address:
    return s3_address


@pytest.fixture
def bucket(s3_bucket: S3Bucket) -> S3Bucket:
    return s3_bucket


@pytest.fixture(scope="module")
def client() -> FlaskClient:
    return application_of()


@pytest.fixture
def log(bucket) -> AliasLog:
    return alias_log(bucket, bundles.MODEL)


@pytest.fixture
def worker(bucket, tmp_path) -> Callable[..., HostAgent]:
    """Start a worker of the host; those that a test does not end are ended after it."""
    started: list[HostAgent] = []

    def start(
        models: tuple[str, ...] = (),
        replica: str = "host",
        trust: Trust = TRUST,
        probe: Probe | None = None,
        **settings: object,
    ) -> HostAgent:
        following = FollowConfig(
            models=models,
            replica=replica,
            **{"folder": tmp_path, "poll_seconds": 0.0001, "threads": 1, "workers": 2} | settings,
        )
        agent = HostAgent(bucket, following, trust, probe or Unprobed(), signer=lambda: SIGNER)
        agent.tick_loader()
        started.append(agent)
        return agent

    yield start
    for agent in started:
        agent.stop()


@pytest.fixture
def challengers(bucket) -> AliasLog:
    return alias_log(bucket, bundles.MODEL, CHALLENGER)


@pytest.fixture
def hosts(worker, bucket, log) -> tuple[HostAgent, HostAgent]:
    """Two workers of one host whose champion is version 1; version 2 is published."""
    bundles.publish(bucket, 1), bundles.publish(bucket, 2)
    promote(log, 1)
    leader, mate = worker(), worker()
    settle(leader, mate)
    return leader, mate
