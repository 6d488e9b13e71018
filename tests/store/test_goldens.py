"""Buckets that older releases wrote, kept as exports, are still readable."""

from pathlib import Path

import pytest

from overnight.serving.inference.loaded_version import check_golden
from overnight.serving.inference.runtime import Predictor
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.delta_table import Dataset
from overnight.store.datasets.landing import Landing
from overnight.store.errors import CollectedVersion
from overnight.store.maintenance.restore import import_bucket
from overnight.store.objects import keys
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.alias_log import AliasLog
from overnight.store.registry.challenges import Challenges
from overnight.store.registry.endorsement import NOT_SIGNED, endorse
from overnight.store.registry.live_scores import LiveScores
from overnight.store.registry.registry import ModelRegistry
from overnight.store.registry.tuned_settings import TunedSettingsLog
from overnight.store.trust.trusted_keys import Trust
from overnight.tasks.maintenance.audit import AuditContext, verify
from tests.support.signing_keys import named, registry, signer

SIGNER_OF_PEOPLE = signer("administration")
GOLDENS = Path(__file__).parents[1] / "goldens" / "bucket"
RELEASES = sorted(path.name for path in GOLDENS.iterdir() if (path / "index.json").exists())
FIRST, SECOND, THIRD, FOURTH = (f"20261122T00000{n}-00000000000{n}" for n in (1, 2, 3, 4))


@pytest.fixture(params=RELEASES)
def release(request: pytest.FixtureRequest) -> Path:
    return GOLDENS / request.param


@pytest.fixture
def trust(release: Path) -> Trust:
    return Trust.from_file(release / "trusted")


@pytest.fixture
def bucket(release: Path) -> MemoryBucket:
    bucket = MemoryBucket()
    import_bucket(bucket, release, progress=lambda *_: None)
    return bucket


def test_there_is_a_bucket_of_every_release() -> None:
    assert RELEASES == ["0.1.0"]


def test_its_audit_is_clean_once_its_approvals_and_aliases_are_signed(release, bucket, trust):
    # Given that no approval and no alias record is signed, as that release wrote them.
    administration = named(SIGNER_OF_PEOPLE, "people", "decisions", "aliases")
    trust = Trust([*trust.keys.values(), administration])
    context = AuditContext(
        bucket, lambda model, name: Dataset.in_folder(release / "content", model, name), trust
    )
    unsigned = {finding.key for finding in verify(context).findings}
    assert unsigned == {
        "models/digits/aliases/challenger/00000001.json",
        "models/digits/aliases/champion/00000004.json",
        *(keys.decision("digits", version) for version in (FIRST, SECOND, THIRD, FOURTH)),
    }

    # When `overnight up` signs them.
    lines = list(endorse(registry(bucket, trust=trust), SIGNER_OF_PEOPLE, confirmed=True))
    assert not any(line.startswith(NOT_SIGNED) for line in lines)
    audit = verify(context)

    assert audit.findings == ()
    assert (audit.tallies["digits"]["manifest"], audit.signatures_checked) == (4, True)


def test_its_versions_are_trusted_and_predict_as_before(bucket, trust):
    for version in (SECOND, THIRD, FOURTH):
        made = ModelRegistry(bucket, "digits", trust).trusted(version).manifest
        ModelRegistry(bucket, made.model).check_nothing_added(made)
        files = {
            name: ModelRegistry(bucket, made.model).read_file(made, name) for name in made.files
        }

        predictor = Predictor(made, files["predictor.tflite"], threads=1)

        answered = check_golden(predictor, files["golden.npz"])
        assert {name: len(rows) for name, rows in answered.items()} == {"image": 5}


def test_its_logs_and_records_are_read_as_written(bucket):
    history = AliasLog(bucket, "digits").history()
    assert [(one.version, one.action) for one in history] == [
        (FIRST, "promoted"),
        (SECOND, "promoted"),
        (THIRD, "promoted"),
        (SECOND, "rolled back"),
    ]
    assert [
        acknowledgement.serving
        for acknowledgement in AliasLog(bucket, "digits").acknowledgements(3)
    ] == [True]
    decision = ModelRegistry(bucket, "digits").decisions.find(FIRST)
    assert decision is not None
    assert (decision.verdict, decision.by) == ("approved", "its gates")
    challenge = Challenges(bucket, "digits").current()
    assert challenge is not None
    assert (challenge.record.version, challenge.is_live) == (FOURTH, False)
    tuned = TunedSettingsLog(bucket, "digits").current()
    assert tuned is not None
    assert tuned.settings == {"epochs": 2}
    assert ModelRegistry(bucket, "digits").refusals.find("f" * 64, compared_with=THIRD) is not None
    score = LiveScores(bucket, "digits").find(THIRD, "night-2")
    assert score is not None
    assert score.measurements[0].value == 0.99


def test_its_arrivals_and_their_reviews_are_read_as_written(bucket):
    assert ArrivalReviews(bucket, "digits").excluded() == ("night-9",)
    (arrival,) = Landing(bucket, "digits").pending()
    landing = Landing(bucket, arrival.model)
    read = {file: landing.read_file(arrival, file) for file in arrival.files}
    assert read == {"a.csv": b"1,2", "b.csv": b"?"}
    assert [one.reason for one in Landing(bucket, "digits").quarantined()] == ["no numbers"]


def test_tombstones_and_their_revocations_are_read_as_written(bucket, trust):
    made = ModelRegistry(bucket, "digits", trust).trusted(FIRST).manifest
    with pytest.raises(CollectedVersion, match="collected on"):
        ModelRegistry(bucket, made.model).read_file(made, "predictor.tflite")
    assert ModelRegistry(bucket, made.model).read_file(made, "report.html") == b"<p>report</p>"
    assert ModelRegistry(bucket, "digits").tombstones.find(THIRD) is None
    assert ModelRegistry(bucket, "digits").tombstones.revoked(THIRD) is not None
