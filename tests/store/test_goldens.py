"""What a release has written is read for ever: buckets of old releases, kept as exports."""

from pathlib import Path

import pytest

from serving.golden import check
from serving.predictor import Predictor
from store import arrivals, challenging, landing, versions
from store.aliases import AliasLog
from store.collected import read_collected, read_kept
from store.decisions import read_decision
from store.errors import CollectedVersion
from store.importing import import_bucket
from store.memory import MemoryBucket
from store.refusals import read_refusal
from store.scores import read_score
from store.tables import Table
from store.trust import Trust
from store.tuning import read_tuned
from tasks.verify import House, verify

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
    import_bucket(bucket, release, told=lambda *_: None)
    return bucket


def test_there_is_a_bucket_of_every_release() -> None:
    assert RELEASES == ["0.1.0"]


def test_its_audit_is_clean(release, bucket, trust):
    house = House(
        bucket, lambda model, name: Table.in_folder(release / "content", model, name), trust
    )

    audit = verify(house)

    assert audit.findings == ()
    assert (audit.tallies["digits"]["manifest"], audit.signatures_looked_at) == (4, True)


def test_its_versions_are_trusted_and_answer_as_they_did(bucket, trust):
    for version in (SECOND, THIRD, FOURTH):
        made = versions.trusted_manifest(bucket, "digits", version, trust)
        versions.check_nothing_added(bucket, made)
        files = {name: versions.read_file(bucket, made, name) for name in made.files}

        predictor = Predictor(made, files["predictor.tflite"], threads=1)

        answered = check(predictor, files["golden.npz"])
        assert {name: len(rows) for name, rows in answered.items()} == {"image": 5}


def test_its_logs_and_words_say_what_they_said(bucket):
    history = AliasLog(bucket, "digits").history()
    assert [(one.version, one.action) for one in history] == [
        (FIRST, "promoted"),
        (SECOND, "promoted"),
        (THIRD, "promoted"),
        (SECOND, "rolled back"),
    ]
    assert [word.serving for word in AliasLog(bucket, "digits").acknowledgements(3)] == [True]
    decision = read_decision(bucket, "digits", FIRST)
    assert decision is not None
    assert (decision.verdict, decision.by) == ("approved", "its gates")
    challenge = challenging.current(bucket, "digits")
    assert challenge is not None
    assert (challenge.record.version, challenge.is_live) == (FOURTH, False)
    tuned = read_tuned(bucket, "digits")
    assert tuned is not None
    assert tuned.settings == {"epochs": 2}
    assert read_refusal(bucket, "digits", "f" * 64, compared_with=THIRD) is not None
    score = read_score(bucket, "digits", THIRD, "night-2")
    assert score is not None
    assert score.measurements[0].value == 0.99


def test_its_arrivals_and_the_words_about_them_are_still_there(bucket):
    assert arrivals.excluded(bucket, "digits") == ("night-9",)
    (arrival,) = landing.pending(bucket, "digits")
    assert landing.read(bucket, arrival).files == {"a.csv": b"1,2", "b.csv": b"?"}
    assert [one.reason for one in landing.quarantined(bucket, "digits")] == ["no numbers"]


def test_what_was_collected_is_still_told_so_and_what_was_kept_is_not(bucket, trust):
    made = versions.trusted_manifest(bucket, "digits", FIRST, trust)
    with pytest.raises(CollectedVersion, match="was collected on"):
        versions.read_file(bucket, made, "predictor.tflite")
    assert versions.read_file(bucket, made, "report.html") == b"<p>report</p>"
    assert read_collected(bucket, "digits", THIRD) is None
    assert read_kept(bucket, "digits", THIRD) is not None
