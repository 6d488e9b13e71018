"""A holdout is renewed: both sets judge for a while, and no row of either is learned."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from overnight import models
from overnight.models.gates import AtLeast
from overnight.store.datasets.holdout_sets import digest_of, holdout_sets, judging, read_set, verify
from overnight.store.errors import ConfigurationError, UntrustedRecord
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import DataLineage
from overnight.tasks.data.declared_columns import DeclaredColumns
from overnight.tasks.data.leakage import check_kept_out, learned_holdout_rows
from overnight.tasks.data.renew_holdout import HoldoutRenewal, check_days
from overnight.tasks.data.snapshot import (
    Snapshot,
    read_holdout,
    read_judging_sets,
    read_rows,
    retake,
)
from overnight.tasks.errors import HoldoutNotRenewed
from overnight.tasks.evaluation.judge import judge
from tests.support.changing_wines import ACID, SUGAR, Cellar, Wines, definition, table
from tests.support.evaluations import measured
from tests.support.signing_keys import IDENTITIES, PEOPLE, SERVING

AT = datetime(2026, 11, 22, 2, tzinfo=UTC)
LATER = AT + timedelta(days=7)
HELD_OUT = {"id": [90, 91], "acid": [3.0, 3.5], "label": [0, 1]}
PLAIN = definition(ACID)
SWEET = definition(ACID, SUGAR, row_defaults={"sugar": 4.0})


def night(first: int, n: int = 4, **more: list[float]) -> dict[str, list[object]]:
    ids = [*range(first, first + n)]
    return {"id": ids, "acid": [3.0] * n, "label": [each % 2 for each in ids], **more}


@pytest.fixture
def wines(tmp_path: Path) -> Cellar:
    """Two nights, of which the champion has learned the first."""
    source = Wines(night(1), night(11, 6, sugar=[7.0] * 6), held_out=HELD_OUT)
    return Cellar(tmp_path, source)


@pytest.fixture
def learned(wines: Cellar) -> Snapshot:
    """The champion's own snapshot; the second night came after it."""
    wines.ingest(PLAIN)
    champion = wines.snapshot(PLAIN, now=AT)
    wines.ingest(SWEET)
    return champion


def renewal(wines: Cellar, learned: DataLineage | None, days: int = 7) -> HoldoutRenewal:
    return HoldoutRenewal(
        SWEET,
        wines.rows,
        wines.holdout,
        learned=learned,
        excluded=(),
        actor=Actor("ann", "the new bottling line"),
        both_for_days=days,
        now=AT,
    )


def names(wines: Cellar, now: datetime) -> list[str]:
    return [each.name for each in judging(holdout_sets(wines.holdout), now)]


def test_both_sets_judge_until_the_time_is_over_and_every_row_is_kept_out(
    wines: Cellar, learned: Snapshot
) -> None:
    before = wines.snapshot(SWEET, now=AT)

    kept = renewal(wines, learned.lineage).from_arrivals(3, PEOPLE)

    assert (kept.name, kept.rows, kept.by, kept.reason) == (
        "holdout-2",
        3,
        "ann",
        "the new bottling line",
    )
    assert names(wines, AT) == ["holdout-2", "holdout"]
    assert names(wines, LATER) == ["holdout-2"]
    both, after = (wines.snapshot(SWEET, now=now) for now in (AT, LATER))
    assert (before.rows, before.judged_by, before.holdout_rows) == (10, (), 2)
    assert (both.rows, both.judged_by, both.holdout_rows) == (7, ("holdout-2", "holdout"), 5)
    assert (after.rows, after.judged_by, after.holdout_rows) == (7, ("holdout-2",), 3)
    assert both.kept_out == after.kept_out == ("holdout-2",)

    declared = DeclaredColumns.of(SWEET)
    rows = read_rows(wines.rows, both, wines.holdout, declared=declared)
    holdout = read_holdout(wines.holdout, both, declared=declared)
    assert check_kept_out(rows, holdout).passed
    assert holdout.column("sugar").to_pylist() == [7.0, 7.0, 7.0, 4.0, 4.0]
    sets = read_judging_sets(wines.holdout, both, declared=declared)
    assert {name: part.num_rows for name, part in sets.items()} == {"holdout-2": 3, "holdout": 2}
    # The older one stays, and every recorded snapshot can be had again.
    for recorded in (learned, before, both, after):
        assert retake(wines.rows, wines.holdout, recorded.lineage) == recorded


def test_rows_of_either_set_that_arrive_again_are_kept_out(
    wines: Cellar, learned: Snapshot
) -> None:
    renewal(wines, learned.lineage).from_arrivals(6, PEOPLE)
    again = night(11, 6, sugar=[1.0] * 6)
    wines.source.nights.append(
        {
            "id": [*again["id"], 90, 77],
            "acid": [3.0] * 8,
            "label": [0, 1] * 4,
            "sugar": [1.0] * 8,
        }
    )

    ingested = wines.ingest(SWEET)

    assert (ingested.rows_added, ingested.kept_out) == (1, 7)


def test_the_champion_has_learned_no_row_of_the_new_set(wines: Cellar, learned: Snapshot) -> None:
    renewal(wines, learned.lineage).from_arrivals(6, PEOPLE)

    new = read_set(wines.holdout, holdout_sets(wines.holdout)[-1])

    assert sorted(new.column("id").to_pylist()) == [11, 12, 13, 14, 15, 16]
    with pytest.raises(HoldoutNotRenewed, match=r"only 0 rows arrived .* `overnight ingest wine`"):
        renewal(wines, learned.lineage).from_arrivals(1, PEOPLE)


def test_rows_of_a_file_that_the_champion_learned_are_refused(
    wines: Cellar, learned: Snapshot
) -> None:
    asked = renewal(wines, learned.lineage)
    known, fresh = (table(night(first, 4, sugar=[1.0] * 4)) for first in (3, 50))

    with pytest.raises(HoldoutNotRenewed, match=r"has learned 2 of the 4 rows of new\.csv"):
        asked.from_rows(known, "new.csv", PEOPLE)
    with pytest.raises(HoldoutNotRenewed, match="label: 1 of 2 values are outside"):
        asked.from_rows(table(night(50, 2, sugar=[1.0] * 2) | {"label": [0, 7]}), "new.csv", PEOPLE)

    assert asked.from_rows(fresh, "new.csv", PEOPLE).rows == 4
    # Those that arrived and were not learned yet are learned no more.
    assert names(wines, AT) == ["holdout-2", "holdout"]


def test_a_renewal_counts_only_if_a_key_signed_it_that_may(
    wines: Cellar, learned: Snapshot
) -> None:
    renewal(wines, learned.lineage).from_arrivals(2, PEOPLE)
    verify(holdout_sets(wines.holdout), IDENTITIES)

    renewal(wines, learned.lineage).from_arrivals(2, SERVING)

    with pytest.raises(UntrustedRecord, match="datasets/wine/holdout/holdout-3"):
        verify(holdout_sets(wines.holdout), IDENTITIES)
    # It covers the rows: their digests are among what was signed.
    new = holdout_sets(wines.holdout)[-2]
    assert new.renewal is not None
    assert new.renewal.digest == digest_of(read_set(wines.holdout, new))


def test_a_third_set_leaves_the_first_out_of_judging(wines: Cellar, learned: Snapshot) -> None:
    for _ in range(2):
        renewal(wines, learned.lineage).from_arrivals(2, PEOPLE)

    assert names(wines, AT) == ["holdout-3", "holdout-2", "holdout"]
    assert names(wines, LATER) == ["holdout-3"]


def test_a_fit_may_start_from_weights_that_never_saw_the_new_set(
    wines: Cellar, learned: Snapshot
) -> None:
    renewal(wines, learned.lineage).from_arrivals(2, PEOPLE)
    both, after = (wines.snapshot(SWEET, now=now).lineage for now in (AT, LATER))

    assert learned_holdout_rows(learned.lineage, both)
    assert not learned_holdout_rows(both, after)
    assert not learned_holdout_rows(both, both)


def test_a_moving_holdout_and_one_that_is_not_there_are_not_renewed(wines: Cellar) -> None:
    moving = replace(renewal(wines, None), definition=models.find("sales"))

    with pytest.raises(HoldoutNotRenewed, match=r"newest 31 days .* so there is no need"):
        moving.from_arrivals(1, PEOPLE)
    with pytest.raises(HoldoutNotRenewed, match="`overnight ingest wine` freezes that of its"):
        renewal(wines, None).from_arrivals(1, PEOPLE)
    with pytest.raises(ConfigurationError, match="at least 1 day, found 0"):
        check_days(0)


def test_gates_must_hold_on_both_and_findings_name_the_set() -> None:

    new, old = measured(0.95, n=100), measured(0.80, n=100)
    evaluation = replace(new, holdout="holdout-2", older=(replace(old, holdout="holdout"),))

    verdict = judge(evaluation, [AtLeast("accuracy", 0.9)])

    assert [finding.holdout for finding in verdict.findings] == ["holdout-2", "holdout"]
    assert not verdict.passed
    assert str(verdict) == "1 of 2 gates failed: AtLeast accuracy of holdout: 0.8000, at least 0.9"
    assert np.all([finding.passed for finding in judge(new, [AtLeast("accuracy", 0.9)]).findings])
