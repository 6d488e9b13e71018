"""The page of a host that follows a bucket in memory; no store and no process are started."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from overnight.serving.agent import FollowConfig, HostAgent
from overnight.serving.rest.app import create_application
from overnight.serving.rest.middleware.token_auth import Tokens
from tests.support.serving.clients import LIMITS
from tests.support.serving.stepped_host import Flaky, Unprobed, settle
from tests.support.serving.threaded_server import served
from tests.support.signing_keys import SIGNER, TRUST, signing_registry

TOKEN = "a-token-for-tests-only"


@contextmanager
def page_of(bucket: Flaky, folder: Path) -> Iterator[str]:
    """The address of a host that has looked once at all that the bucket has."""
    following = FollowConfig(
        folder=folder, models=(), replica="host", poll_seconds=0.0001, threads=1, workers=1
    )
    agent = HostAgent(bucket, following, TRUST, Unprobed(), signer=lambda: SIGNER)
    settle(agent)
    agent.tick_history()
    application = create_application(
        agent.router,
        limits=LIMITS,
        status=agent.status,
        administrators=Tokens(token=TOKEN, name="operator"),
        registry=signing_registry(bucket),
    )
    try:
        with served(application.test_client()) as url:
            yield url
    finally:
        agent.stop()
