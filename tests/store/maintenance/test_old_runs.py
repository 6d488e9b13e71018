"""Records of runs of months that are long over are removed, and no others."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.errors import BadKey
from overnight.store.maintenance.old_runs import old_runs, remove
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.runs import RunRecord, Runs

NOW = datetime(2026, 11, 22, tzinfo=UTC)
RUN = "00000000-0000-0000-0000-000000000001"


def runs_of(bucket: MemoryBucket, *ages: int) -> Runs:
    """A model with one run that ended so many days ago, for each."""
    runs = Runs(bucket, "digits")
    for age in ages:
        at = NOW - timedelta(days=age)
        runs.keep(
            RunRecord(model="digits", flow="retrain", run=RUN, event="ended", started=at, at=at)
        )
    return runs


def test_months_over_a_year_old_are_removed_and_younger_ones_stay() -> None:
    bucket = MemoryBucket()
    runs = runs_of(bucket, 500, 440, 390, 40, 1)
    kept = runs.newest_keys(months=3)

    found = old_runs(bucket, "digits", days=30, now=NOW)
    for month in found:
        remove(bucket, month)

    assert [month.month for month in found] == ["2025-07", "2025-09"]
    assert runs.newest_keys(months=9) == kept
    assert old_runs(bucket, "digits", days=30, now=NOW) == []


def test_longer_retention_of_versions_keeps_the_records_as_long() -> None:
    bucket = MemoryBucket()
    runs_of(bucket, 500, 40, 1)

    assert old_runs(bucket, "digits", days=600, now=NOW) == []


def test_the_newest_two_months_of_a_model_that_rests_stay() -> None:
    bucket = MemoryBucket()
    runs_of(bucket, 900, 800)

    assert old_runs(bucket, "digits", days=30, now=NOW) == []


@pytest.mark.parametrize(
    "key", ["models/digits/runs", "models/digits/aliases/champion/00000001.json"]
)
def test_no_other_record_of_a_model_may_be_removed(key: str) -> None:
    with pytest.raises(BadKey, match="may be removed"):
        MemoryBucket().remove(key)
