"""A serving host with a deployment history, for pages to show."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from playwright.sync_api import Locator, Page

from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.promotions import Promotions, predecessor
from tests.support.serving import bucket_history, bundles
from tests.support.serving.server_process import follow_settings, run_serving
from tests.support.signing_keys import alias_log, registry
from tests.support.waiting import until

TOKEN = "a-token-for-tests-only"
FAILED = bundles.version_name(4)


@dataclass
class Host:
    """A serving host with three versions that served, one that failed, one that waits."""

    url: str
    bucket: S3Bucket

    def champion(self) -> AliasRecord:
        record = alias_log(self.bucket, bundles.MODEL).current()
        assert record is not None
        return record

    def served_before(self, version: str) -> str:
        return predecessor(alias_log(self.bucket, bundles.MODEL), version)


@contextmanager
def host_with_a_past(address: S3Address, place: Path) -> Iterator[Host]:
    """Three versions have served, and the last was rolled back; all are loaded or were."""
    bucket = S3Bucket(address)
    bucket.ensure()
    for number in (1, 2, 3):
        bucket_history.publish(bucket, number)
    bucket_history.publish(bucket, 4, approved=False)
    bucket_history.publish(bucket, 5, approved=None)
    with run_serving(place=place, **follow_settings(address, admin_token=TOKEN)) as serving:
        for number in (1, 2, 3):
            bucket_history.promote(bucket, number)
            version = bundles.version_name(number)
            until(lambda: serving.version() == version, what=f"{version} answers")  # noqa: B023
        Promotions(registry(bucket, "digits")).roll_back(
            expected=version, to=None, actor=Actor("ada", "sevens were read as ones")
        )
        yield Host(f"http://127.0.0.1:{serving.port}", bucket)


def gates_of(page: Page, version: str) -> Locator:
    """The button that opens the gates of a version."""
    return page.locator(f'button[data-version="{version}"]')
