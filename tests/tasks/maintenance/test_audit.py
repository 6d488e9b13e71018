"""An audit reports all damage in the bucket, and a repair adds only intact objects."""

import dataclasses
from collections.abc import Callable
from pathlib import Path

import pytest

from overnight.models.errors import UnknownModel
from overnight.store.datasets.landing import Landing
from overnight.store.maintenance.audit_rules import Audit, Severity
from overnight.store.maintenance.export import export
from overnight.store.maintenance.repair import Export, cached, missing, repair
from overnight.store.objects import keys
from overnight.store.objects.s3 import S3Address, S3Bucket
from overnight.store.objects.size_limits import MANIFEST_BYTES
from overnight.store.predictions.tables import LabelTable, PredictionTable
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support import filled_bucket
from tests.support.limits import LIMIT
from tests.support.prediction_log import answered, segment, sent, ship
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, TRUST, alias_log, named, signer

pytestmark = [pytest.mark.servers, pytest.mark.timeout(180)]
MODEL = filled_bucket.MODEL


@pytest.fixture
def context(s3_bucket: S3Bucket, s3_address: S3Address) -> AuditContext:
    """Two nights, one of everything else, and nothing wrong."""
    filled_bucket.append_holdout(s3_address)
    for number in (1, 2):
        filled_bucket.publish_version(s3_bucket, s3_address, number)
    filled_bucket.keep_other_records(s3_bucket, bundles.version_name(2))
    return AuditContext(
        s3_bucket, lambda _model, name: filled_bucket.table(s3_address, name), TRUST
    )


@pytest.fixture
def remove(s3_bucket: S3Bucket) -> Callable[[str], None]:
    """What only the store's own tools can do."""
    address = s3_bucket.address
    return lambda key: s3_bucket._client.delete_object(Bucket=address.bucket, Key=key)


@pytest.fixture
def replace(s3_bucket: S3Bucket) -> Callable[[str, bytes], None]:
    address = s3_bucket.address
    return lambda key, body: s3_bucket._client.put_object(Bucket=address.bucket, Key=key, Body=body)


def findings(audit: Audit) -> dict[str, str]:
    return {item.key: item.what for item in audit.findings}


def test_the_prediction_log_is_no_finding_and_known_by_its_model(
    context: AuditContext, s3_bucket: S3Bucket
) -> None:
    predictions = PredictionTable.on_s3(s3_bucket.address, MODEL)
    predictions.append({segment(1): [answered("a")]})
    LabelTable.on_s3(s3_bucket.address, MODEL).append({segment(1): [sent("a")]})
    ship(s3_bucket, 2, answered("b"))

    audit = verify(context)

    assert audit.is_clean, audit.findings
    assert audit.tallies[MODEL]["segment of the prediction log"] == 1
    assert audit.tallies[MODEL]["file of the prediction log"] > 3
    assert findings(verify(context, MODEL)) == {}


def repair_from(context: AuditContext, folder: Path) -> tuple[list[str], list[str]]:
    source = Export(context.bucket, folder)
    wanted = [*source.missing_keys(), *missing(verify(context).findings)]
    return repair(context.bucket, wanted, [source])


def file(number: int, name: str) -> str:
    return keys.version_file(MODEL, bundles.version_name(number), name)


def test_a_bucket_after_two_runs_is_clean(context):
    filled_bucket.land_arrival(context.bucket)

    audit = verify(context)

    assert findings(audit) == {}
    assert audit.tallies[MODEL]["manifest"] == 2
    assert audit.tallies[MODEL]["file of a table"] > 4
    reported = {item.what for item in audit.observations}
    assert reported == {"landed and not ingested yet", "in quarantine"}
    assert {item.severity for item in audit.observations} == {Severity.NOTE}


def test_progress_is_reported_in_bytes_up_to_the_total(context):
    reported = []

    verify(context, report=lambda done, total: reported.append((done, total)))

    assert reported[-1][0] == reported[-1][1] > 0
    assert [done for done, _ in reported] == sorted(done for done, _ in reported)


def test_an_audit_of_one_model_ignores_others(context, replace):
    replace("models/other/aliases/champion/00000007.json", b"nonsense")

    assert verify(context, MODEL).is_clean
    assert not verify(context).is_clean
    with pytest.raises(UnknownModel, match="known are: digits, other"):
        verify(context, "nobody")


def test_a_damaged_file_is_reported_with_both_digests(context, replace):
    replace(file(1, "predictor.tflite"), b"damaged")

    reported = findings(verify(context))

    assert reported.keys() == {file(1, "predictor.tflite")}
    assert "found sha256" in reported[file(1, "predictor.tflite")]


def test_what_is_longer_than_its_kind_is_reported_and_the_rest_is_audited(context, replace):
    long = keys.manifest("digits", bundles.version_name(1))
    replace(long, b" " * (MANIFEST_BYTES + 1))

    audit = verify(context)

    assert "expected at most 16,000,000 bytes, found 16,000,001" in findings(audit)[long]
    assert not any(bundles.version_name(2) in key for key in findings(audit))


def test_every_missing_object_is_reported(context, remove):
    lost = {
        file(1, "golden.npz"): "missing; expected sha256",
        keys.alias_record(MODEL, "champion", 1): "record 1 of 2 is missing from this log",
        f"{keys.dataset(MODEL, 'rows')}/_delta_log/{1:020d}.json": "commit 1 is missing",
        keys.manifest(MODEL, bundles.version_name(2)): "it has a decision but no manifest",
    }
    for key in lost:
        remove(key)

    result = findings(verify(context))

    assert all(what in result[key] for key, what in lost.items())


def test_a_missing_signature_and_a_missing_decision_are_reported(context, remove):
    remove(keys.signature(MODEL, bundles.version_name(1), SIGNER.key_id))
    remove(keys.decision(MODEL, bundles.version_name(2)))

    result = findings(verify(context))

    assert "it is not signed" in result[keys.manifest(MODEL, bundles.version_name(1))]
    record = keys.alias_record(MODEL, "champion", 2)
    assert result[record] == f"it made {bundles.version_name(2)} champion, which is not decided"


def test_a_missing_file_of_a_table_is_reported_by_name(context, remove, s3_address):
    name = next(iter(filled_bucket.table(s3_address, "rows").files()))
    remove(f"{keys.dataset(MODEL, 'rows')}/{name}")

    assert findings(verify(context)) == {
        f"{keys.dataset(MODEL, 'rows')}/{name}": "a file that the table's newest version needs"
    }


def test_a_damaged_file_of_a_table_is_found(context, replace, s3_address):
    name, size = next(iter(filled_bucket.table(s3_address, "rows").files().items()))
    replace(f"{keys.dataset(MODEL, 'rows')}/{name}", b"x" * size)

    reported = findings(verify(context))

    assert "the table cannot be read" in reported[keys.dataset(MODEL, "rows")]


ADDITIONS = {
    "a file beside a bundle": (file(1, "hook.py"), b"evil", "added since the version"),
    "a key of nobody's": ("models/digits/notes.txt", b"?", "nothing of ours reads this key"),
    "a key outside the grammar": ("models/digits/a b", b"?", "nothing of ours reads this key"),
    "a word about no record": (
        keys.replica(MODEL, "champion", 9, "host-1"),
        b'{"replica": "host-1", "version": "v", "serving": true}',
        "which is missing",
    ),
    "a record that cannot be read": (
        keys.alias_record(MODEL, "champion", 3),
        b'{"format": 1}',
        "it cannot be read",
    ),
    "a refusal that lies elsewhere": (
        keys.refusal(MODEL, "a" * 64, None),
        b'{"model": "digits", "fingerprint": "b", "findings": []}',
        "its fingerprint is b",
    ),
    "an old half-written version": (
        keys.version_file(MODEL, "20260101T000000-000000000009", "predictor.tflite"),
        b"half",
        "half-written for more than 2 days",
    ),
}


def test_every_added_object_is_reported(context, replace):
    for key, body, _ in ADDITIONS.values():
        replace(key, body)

    reported = verify(context).findings

    for key, _, what in ADDITIONS.values():
        version = key.rpartition("/")[0]
        assert any(item.key.startswith(version) and what in item.what for item in reported), what


def test_a_champion_that_nobody_approved_is_reported(context, s3_address):
    version = filled_bucket.publish_version(context.bucket, s3_address, 3, promoted=False)
    filled_bucket.promote(context.bucket, version, over=bundles.version_name(2))

    assert list(findings(verify(context)).values()) == [
        f"it made {version} champion, which is not decided"
    ]


def test_a_record_that_does_not_follow_the_previous_one_is_reported(context, replace):
    key, other = keys.alias_record(MODEL, "champion", 2), bundles.version_name(7)
    record = alias_log(context.bucket, MODEL).at(2)
    replace(key, record.model_copy(update={"previous": other}).signed_by(SIGNER, key).encoded())

    assert f"it replaces {other}" in findings(verify(context))[key]


def test_a_version_without_a_trusted_signature_is_reported(context):
    stranger = Trust([named(signer("stranger"))])

    reported = findings(verify(dataclasses.replace(context, trust=stranger)))

    # Two manifests, and the records that made them champion.
    assert len(reported) == 4
    assert all("not trusted here" in what for what in reported.values())


def test_without_trusted_keys_signatures_are_not_checked(context):
    audit = verify(dataclasses.replace(context, trust=None))

    assert (audit.is_clean, audit.signatures_checked) == (True, False)


def test_a_changed_snapshot_is_reported(context, s3_address):
    made = bundles.manifest(7, bundles.files(7))
    bundles.publish(context.bucket, 7)

    reported = verify(context)

    key = keys.manifest(MODEL, made.version)
    assert any(
        item.key == key and "snapshot's digest was" in item.what for item in reported.findings
    )


def test_a_missing_file_is_restored_from_the_cache_of_serving(context, remove, tmp_path):
    place = tmp_path / MODEL / bundles.version_name(1)
    place.mkdir(parents=True)
    (place / "predictor.tflite").write_bytes(bundles.network(1))
    (place / "golden.npz").write_bytes(b"other bytes than were published")
    for name in ("predictor.tflite", "golden.npz"):
        remove(file(1, name))

    added, lost = repair(
        context.bucket, missing(verify(context).findings), [cached(context.bucket, [tmp_path])]
    )

    assert (added, lost) == ([file(1, "predictor.tflite")], [file(1, "golden.npz")])
    assert findings(verify(context)).keys() == {file(1, "golden.npz")}


def test_every_missing_object_is_restored_from_an_export(context, remove, tmp_path, s3_address):
    export(context.bucket, tmp_path / "export", source="here", progress=lambda *_: None)
    name = next(iter(filled_bucket.table(s3_address, "rows").files()))
    for key in (
        file(1, "network.keras"),
        keys.alias_record(MODEL, "champion", 1),
        f"{keys.dataset(MODEL, 'rows')}/{name}",
    ):
        remove(key)

    added, lost = repair_from(context, tmp_path / "export")

    assert (len(added), lost) == (3, [])
    assert verify(context).is_clean


def test_damage_is_never_overwritten_by_a_repair(context, replace, tmp_path):
    export(context.bucket, tmp_path / "export", source="here", progress=lambda *_: None)
    replace(file(1, "network.keras"), b"damage")

    added, lost = repair_from(context, tmp_path / "export")

    assert (added, lost) == ([], [])
    assert context.bucket.read(file(1, "network.keras"), LIMIT) == b"damage"


def test_landed_arrivals_are_read_too(context, replace):
    arrival = Landing(context.bucket, MODEL).land(
        "tuesday", {"a.csv": b"1"}, by="ada", at=filled_bucket.NOW
    )
    replace(f"{arrival.prefix}/arrival.json", b"{}")

    assert "it cannot be read" in " ".join(findings(verify(context)).values())
