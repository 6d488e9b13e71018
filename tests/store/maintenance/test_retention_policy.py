"""Which versions retention keeps, and why."""

from datetime import UTC, datetime, timedelta

import pytest

from overnight.store.maintenance.retention_policy import Retention, VersionUse, heavy, kept
from overnight.store.registry.alias_record import Action, AliasRecord

NOW = datetime(2026, 11, 22, 2, tzinfo=UTC)
STRICT = Retention(keep=1, days=0)


def version(days_ago: float) -> str:
    return f"{NOW - timedelta(days=days_ago):%Y%m%dT%H%M%S}-0123456789ab"


def standing(
    days_ago: float, verdict: str | None = "approved", **lineage: str | None
) -> VersionUse:
    return VersionUse(version(days_ago), verdict, **lineage)


def log(*moves: tuple[float, float], alias: str = "champion", action: Action = "promoted"):
    """Records by the age of the version, and how many days ago it was pointed at."""
    return [
        AliasRecord(
            model="digits",
            alias=alias,
            sequence=number,
            version=version(made),
            previous=None,
            action=action,
            by="",
            reason="",
            at=NOW - timedelta(days=at),
        )
        for number, (made, at) in enumerate(moves, start=1)
    ]


def test_the_newest_and_the_young_stay_and_others_may_be_deleted():
    standings = [standing(age, "rejected") for age in (1, 20, 40, 50, 60)]

    stays = kept(standings, {}, Retention(keep=3, days=30), NOW)

    assert [*stays] == [version(40), version(20), version(1)]
    assert kept(standings, {}, Retention(keep=1, days=30), NOW).keys() == {version(1), version(20)}
    assert stays[version(40)] == "it is among the newest 3"


def test_a_champion_stays_however_old_it_is():
    stays = kept([standing(1), standing(400)], {"champion": log((400, 399))}, STRICT, NOW)

    assert stays[version(400)] == "it is champion"


def test_the_champions_that_a_rollback_may_return_to_stay():
    moves = log((300, 299), (200, 199), (100, 99))

    stays = kept([standing(age) for age in (100, 200, 300)], {"champion": moves},
                 Retention(keep=2, days=0), NOW)  # fmt: skip

    assert stays.keys() == {version(100), version(200)}


def test_a_version_that_was_champion_until_recently_stays():
    moves = log((300, 299), (200, 5), (100, 4))

    stays = kept([], {"champion": moves}, Retention(keep=1, days=4.5), NOW)

    assert stays[version(200)] == "it was champion until 2026-11-18"
    assert version(300) not in stays


def test_a_running_challenger_stays_and_a_stopped_one_may_be_deleted():
    standings = [standing(1), standing(90, "rejected")]
    running = {"challenger": log((90, 80), alias="challenger", action="started")}
    stopped = {"challenger": log((90, 80), alias="challenger", action="stopped")}

    assert kept(standings, running, STRICT, NOW)[version(90)] == "it is challenger"
    assert version(90) not in kept(standings, stopped, STRICT, NOW)


@pytest.mark.parametrize(
    ("verdict", "compared_with", "why"),
    [
        (None, None, "it waits for a decision"),
        ("approved", version(90), "it is approved and may still be promoted"),
        ("approved", version(99), None),
        ("rejected", version(90), None),
    ],
)
def test_a_version_that_may_still_be_decided_about_or_promoted_stays(verdict, compared_with, why):
    one = standing(60, verdict, compared_with=compared_with)

    stays = kept([standing(1), one], {"champion": log((90, 89))}, STRICT, NOW)

    assert stays.get(version(60)) == why


def test_the_weights_that_a_kept_version_started_from_stay_and_no_further_ones():
    standings = [
        standing(1, "rejected", continued_from=version(40)),
        standing(40, "rejected", continued_from=version(80)),
        standing(80, "rejected"),
    ]

    stays = kept(standings, {}, STRICT, NOW)

    assert stays.keys() == {version(1), version(40)}


def test_half_written_versions_have_a_grace_period():
    assert Retention().may_finish(version(1.9), NOW)
    assert not Retention().may_finish(version(2.1), NOW)


def test_reports_and_records_of_a_version_stay():
    assert heavy(["report.html", "sbom.json", "network.keras", "golden.npz"]) == (
        "golden.npz",
        "network.keras",
    )
