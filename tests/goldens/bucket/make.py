"""Writes a bucket as this release writes it, as an export: one of everything that is kept.

Run by hand, once a release, and never again for a release that is out:

    python -m tests.goldens.bucket.make 0.1.0
"""

import sys
import tempfile
from pathlib import Path

from overnight.store.maintenance import export
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Challenges, Withdrawal
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tombstones import Tombstone
from tests.support import filled_bucket
from tests.support.s3_server import ACCESS, SECRET, seaweed
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, named


def main() -> None:
    place = Path(__file__).parent / sys.argv[1]
    with tempfile.TemporaryDirectory() as folder, seaweed(Path(folder)) as endpoint:
        address = S3Address(endpoint, "golden", ACCESS, SECRET)
        bucket = S3Bucket(address)
        bucket.ensure()
        filled_bucket.append_holdout(address)
        for number in (1, 2, 3):
            filled_bucket.publish_version(bucket, address, number)
        filled_bucket.keep_other_records(bucket, bundles.version_name(3))
        filled_bucket.land_arrival(bucket)
        filled_bucket.approve(
            bucket, filled_bucket.publish_version(bucket, address, 4, promoted=False)
        )
        _challenge(bucket)
        _collect(bucket)
        export.export(bucket, place, source=f"release {sys.argv[1]}", progress=lambda *_: None)
    (place / "trusted").write_text(named(SIGNER).line + "\n")


def _challenge(bucket: S3Bucket) -> None:
    """A canary that a host withdrew, and a rollback."""
    tried, last = bundles.version_name(4), bundles.version_name(3)
    record = Challenges(bucket, filled_bucket.MODEL).start(
        tried, terms=Terms(mode="canary"), actor=Actor("ada", "a try")
    )
    word = Withdrawal(replica="host-1", version=tried, reason="it erred too often")
    Challenges(bucket, record.model).withdraw(record, word)
    AliasLog(bucket, filled_bucket.MODEL).append(
        bundles.version_name(2),
        expected=last,
        actor=Actor("bob", "complaints"),
        action="rolled back",
    )


def _collect(bucket: S3Bucket) -> None:
    """One version that was let go of, and one that stayed after all."""
    for number in (1, 3):
        version = bundles.version_name(number)
        word = Tombstone(
            model=filled_bucket.MODEL,
            version=version,
            was="published",
            files=("golden.npz", "network.keras", "predictor.tflite"),
            size_bytes=8_000,
            by="ada",
            reason="no rule keeps it: keep 1, 0 days",
        )
        bucket.create(keys.tombstone(filled_bucket.MODEL, version), word.encoded())
    ModelRegistry(bucket, filled_bucket.MODEL).tombstones.revoke(
        bundles.version_name(3), "somebody wanted it at that moment"
    )
    for name in word.files:
        bucket.discard(keys.version_file(filled_bucket.MODEL, bundles.version_name(1), name))


if __name__ == "__main__":
    main()
