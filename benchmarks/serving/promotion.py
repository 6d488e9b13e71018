"""Claim: a promotion serves within two polls, and sooner when serving is notified.

    python benchmarks/serving/promotion.py [PROMOTIONS]

Justifies `poll_seconds` of one second, and the refresh request: a real SeaweedFS, two workers,
the default settings; the clock runs from the written alias record to the first answer by the new
version, and to the acknowledgement that no older one can follow. Promotions with a
refresh request, as flows send it, and promotions found by polling alternate.
"""

import random
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

from overnight.store.registry.actor import Actor

sys.path.insert(0, str(Path(__file__).parents[2]))

from overnight.store.errors import OvernightError
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.alias_log import AliasLog
from overnight.tasks.release.confirm import notify
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bundles
from tests.support.serving.server_process import Serving, follow_settings, run_serving
from tests.support.signing_keys import alias_log
from tests.support.waiting import until

PROMOTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 10


def main() -> None:
    took: dict[tuple[str, str], list[float]] = {}
    with tempfile.TemporaryDirectory() as place, seaweed(Path(place)) as endpoint:
        address = S3Address(endpoint, "promotions", ACCESS, SECRET)
        bucket = S3Bucket(address)
        until(lambda: _is_writable(bucket))
        for number in range(2 * PROMOTIONS + 1):
            bundles.publish(bucket, number)
        log = alias_log(bucket, bundles.MODEL)
        settings = follow_settings(address) | {"poll_seconds": "1"}
        with run_serving(place=Path(place) / "home", **settings) as serving:
            promote(log, serving, 0, refresh=False)
            for number in range(1, 2 * PROMOTIONS + 1):
                time.sleep(random.random())  # promotions come at any moment between two polls
                how = "refresh" if number % 2 else "poll"
                answered, acknowledged = promote(log, serving, number, refresh=bool(number % 2))
                took.setdefault((how, "first answer"), []).append(answered)
                took.setdefault((how, "acknowledged"), []).append(acknowledged)
    for (how, what), seconds in sorted(took.items()):
        median, most = statistics.median(seconds), max(seconds)
        print(f"{how:12} {what}: median {median:.2f} s, at most {most:.2f} s")


def promote(log: AliasLog, serving: Serving, number: int, *, refresh: bool) -> tuple[float, float]:
    """Promote; seconds until the first answer, and until the acknowledgement."""
    version, champion = bundles.version_name(number), log.current()
    record = log.append(
        version, expected=champion.version if champion else None, actor=Actor("b", "b")
    )
    began = time.monotonic()
    if refresh and (trouble := notify(f"http://127.0.0.1:{serving.port}", bundles.MODEL)):
        raise SystemExit(trouble)
    until(lambda: serving.version() == version)
    answered = time.monotonic() - began
    until(lambda: bool(log.acknowledgements(record.sequence)))
    return answered, time.monotonic() - began


def _is_writable(bucket: S3Bucket) -> bool:
    with suppress(OvernightError):
        bucket.ensure()
        bucket.create("probe/ready", b"ready")
        return True
    return False


if __name__ == "__main__":
    main()
