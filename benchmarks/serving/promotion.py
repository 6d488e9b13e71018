"""How soon a promotion answers: `python benchmarks/serving/promotion.py [PROMOTIONS]`.

Justifies `poll_seconds` of one second: a real SeaweedFS, two workers, the default settings; the
clock runs from the written alias record to the first answer by the new version, and to the
acknowledgement that no older one can follow.
"""

import random
import statistics
import sys
import tempfile
import time
from contextlib import suppress
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from store.aliases import AliasLog
from store.errors import OvernightError
from store.s3 import S3Address, S3Bucket
from tests.deadline import until
from tests.seaweed import ACCESS, SECRET, seaweed
from tests.serving import bundles
from tests.serving.rig import following, running

PROMOTIONS = int(sys.argv[1]) if len(sys.argv) > 1 else 10


def main() -> None:
    with tempfile.TemporaryDirectory() as place, seaweed(Path(place)) as endpoint:
        address = S3Address(endpoint, "promotions", ACCESS, SECRET)
        bucket = S3Bucket(address)
        until(lambda: _is_writable(bucket))
        for number in range(PROMOTIONS + 1):
            bundles.put(bucket, number)
        log = AliasLog(bucket, bundles.MODEL)
        settings = following(address) | {"poll_seconds": "1"}
        answered, acknowledged = [], []
        with running(place=Path(place) / "home", **settings) as serving:
            for number in range(PROMOTIONS + 1):
                time.sleep(random.random())  # promotions come at any moment between two polls
                version, over = bundles.version_name(number), log.current()
                record = log.append(
                    version, over=over.version if over else None, by="b", reason="b"
                )
                began = time.monotonic()
                until(lambda wanted=version: serving.version() == wanted)
                answered.append(time.monotonic() - began)
                until(lambda at=record.sequence: bool(log.acknowledgements(at)))
                acknowledged.append(time.monotonic() - began)
        for name, took in (("first answer", answered[1:]), ("acknowledged", acknowledged[1:])):
            print(f"{name}: median {statistics.median(took):.2f} s, at most {max(took):.2f} s")


def _is_writable(bucket: S3Bucket) -> bool:
    with suppress(OvernightError):
        bucket.ensure()
        bucket.create("probe/ready", b"ready")
        return True
    return False


if __name__ == "__main__":
    main()
