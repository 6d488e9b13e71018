"""A bucket with every kind of object: tables, versions, decisions, alias logs, scores, reviews."""

from datetime import UTC, datetime

import pyarrow as pa

from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.objects.bucket import Bucket
from overnight.store.objects.s3 import S3Address
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.alias_record import AliasRecord
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.manifest import Finding, Measurement
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tuned_settings import TunedSettings, TunedSettingsLog
from overnight.tasks.data.snapshot import snapshot
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, alias_log, registry

MODEL = bundles.MODEL
NOW = datetime(2026, 11, 22, 12, tzinfo=UTC)


def table(address: S3Address, name: str) -> Dataset:
    return Dataset.on_s3(address, MODEL, name)


def rows(arrival: str, count: int = 5) -> pa.Table:
    """Rows as ingest stamps them."""
    return pa.table(
        {
            "label": pa.array(range(count), pa.int64()),
            "digest": [f"{arrival}-{row}".ljust(64, "0") for row in range(count)],
            "arrival": [arrival] * count,
            "arrival_row": pa.array(range(count), pa.int64()),
            "arrived_at": pa.array([NOW] * count, pa.timestamp("us", "UTC")),
        }
    )


def append_holdout(address: S3Address) -> None:
    """The holdout, which judges every version."""
    table(address, "holdout").append(rows("holdout"), "holdout")


def publish_version(
    bucket: Bucket, address: S3Address, number: int, *, promoted: bool = True
) -> str:
    """Append an arrival and publish version `number`, trained on all arrivals so far."""
    table(address, "rows").append(rows(f"night-{number}"), f"night-{number}")
    lineage = snapshot(table(address, "rows"), table(address, "holdout")).lineage
    log = alias_log(bucket, MODEL)
    champion = log.current()
    over = champion.version if champion else None
    files = bundles.files(number) | {"report.html": b"<p>report</p>"}
    made = bundles.manifest(number, files).model_copy(
        update={"data": lineage, "compared_with": over}
    )
    ModelRegistry(bucket, made.model).publish(made, files, SIGNER)
    if promoted:
        approve(bucket, made.version)
        promote(bucket, made.version, over=over)
    return made.version


def approve(bucket: Bucket, version: str) -> None:
    registry(bucket, MODEL).decisions.decide(version, "approved", Actor("its gates", "passed"))


def promote(bucket: Bucket, version: str, *, over: str | None) -> AliasRecord:
    log = alias_log(bucket, MODEL)
    record = log.append(version, expected=over, actor=Actor("the schedule", "passed its gates"))
    word = Acknowledgement(replica="host-1", version=version, serving=True)
    log.acknowledge(record.sequence, word)
    return record


def keep_other_records(bucket: Bucket, version: str) -> None:
    """One record of every other kind."""
    finding = Finding(gate="AtLeast", metric="accuracy", passed=False, message="too low")
    ModelRegistry(bucket, MODEL).refusals.refuse("f" * 64, [finding], compared_with=version)
    tuned = TunedSettings(model=MODEL, sequence=1, settings={"epochs": 2}, by="ada", reason="tuned")
    TunedSettingsLog(bucket, MODEL).append(tuned)
    ArrivalReviews(bucket, MODEL).park("night-9", [finding], compared_with=version)
    ArrivalReviews(bucket, MODEL).decide("night-9", "excluded", Actor("ada", "upside down"))
    accuracy = Measurement(metric="accuracy", value=0.99, n=5)
    LiveScores(bucket, MODEL).keep(
        Score(model=MODEL, version=version, arrival="night-2", n=5, measurements=(accuracy,))
    )


def land_arrival(bucket: Bucket) -> None:
    """An arrival that waits in the landing, and a file in quarantine."""
    arrival = Landing(bucket, MODEL).land(
        "monday", {"a.csv": b"1,2", "b.csv": b"?"}, by="ada", at=NOW
    )
    Landing(bucket, arrival.model).quarantine(arrival, "b.csv", b"?", "no numbers")
