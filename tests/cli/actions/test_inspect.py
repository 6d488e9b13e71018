"""The JSON and text of `versions`, `show` and `status`."""

import json

import pytest

from overnight.cli.actions import landing, live_scores, show, status, status_notices, versions
from overnight.cli.terminal import open_console
from overnight.cli.version_names import ShortNames
from overnight.infra.settings import load
from overnight.infra.stack.ports import free_port
from overnight.store.datasets.arrival_reviews import ArrivalReviews
from overnight.store.datasets.landing import Landing
from overnight.store.errors import NothingPublished, UnknownVersion
from overnight.store.objects import keys, size_limits
from overnight.store.objects.memory import MemoryBucket
from overnight.store.registry.acknowledgement import Acknowledgement
from overnight.store.registry.actor import Actor
from overnight.store.registry.challenge_terms import Terms
from overnight.store.registry.challenges import Withdrawal
from overnight.store.registry.live_scores import LiveScores, Score
from overnight.store.registry.manifest import Finding, Measurement, RunLineage
from overnight.store.registry.registry import ModelRegistry
from tests.support.examples import AT, FILES, FINGERPRINT, VERSION, manifest
from tests.support.signing_keys import SIGNER, alias_log, challenges, registry

OLDER = "20261121T020000-0123456789ab"


@pytest.fixture
def bucket() -> MemoryBucket:
    """Two versions: the older one was champion before, the newer one is now."""
    bucket = MemoryBucket()
    for version in (OLDER, VERSION):
        ModelRegistry(bucket, "digits").publish(manifest(version=version), FILES, SIGNER)
    registry(bucket, "digits").decisions.decide(OLDER, "approved", Actor("ada"))
    log = alias_log(bucket, "digits")
    log.append(OLDER, expected=None, actor=Actor("ada", "the first"))
    record = log.append(VERSION, expected=OLDER, actor=Actor("schedule", "retrained"))
    log.acknowledge(record.sequence, Acknowledgement(replica="here", version=VERSION, serving=True))
    return bucket


def test_versions_come_oldest_first_with_decision_and_champion(bucket):
    older, newer = versions.gather(bucket, "digits")

    assert (older["version"], newer["version"]) == (OLDER, VERSION)
    assert (older["decision"], older["decided_by"]) == ("approved", "ada")
    assert (newer["decision"], newer["rows"], newer["made"]) == (None, 50_000, AT.isoformat())
    assert older["champion_since"] is None
    assert newer["champion_since"] is not None


DAMAGED = {
    "unparsable": b'{"model": "digits", ',
    "of another model": manifest(version=OLDER).model_copy(update={"model": "sales"}).encoded(),
    "of another release": b'{"format": 99}',
    "too long": b" " * (size_limits.MANIFEST_BYTES + 1),
}


@pytest.mark.parametrize("damage", DAMAGED)
def test_a_damaged_manifest_is_a_row_and_hides_no_other(bucket, damage, capsys):
    bucket._objects[keys.manifest("digits", OLDER)] = DAMAGED[damage]

    damaged, sound = versions.gather(bucket, "digits")
    versions.show([damaged, sound], open_console(), ShortNames(None))

    assert damaged["version"] == OLDER
    assert f"{OLDER}/manifest.json" in damaged["error"]
    assert (sound["version"], sound["rows"], sound["error"]) == (VERSION, 50_000, None)
    assert f"{OLDER}" in capsys.readouterr().out
    assert json.dumps([damaged, sound])


def test_a_damaged_decision_is_a_row_and_hides_no_other(bucket):
    bucket._objects[keys.decision("digits", OLDER)] = b"{}"

    damaged, sound = versions.gather(bucket, "digits")

    assert "decision.json" in damaged["error"]
    assert sound["error"] is None


@pytest.mark.parametrize(
    ("key", "body"),
    [
        (keys.alias_record("digits", "challenger", 1), b"{}"),
        (keys.score("digits", VERSION, "night"), b"?"),
        (keys.pending_review("digits", "night"), b"[]"),
        (f"{keys.replicas('digits', 'champion', 2)}/there.json", b" " * 5_000_000),
    ],
    ids=["challenger", "score", "review", "acknowledgement"],
)
def test_one_damaged_record_hides_nothing_else_of_the_status(bucket, key, body):
    bucket.create(key, body)
    problems: list[str] = []

    document = status.of_model(bucket, load(), "digits", problems)

    assert document["champion"]["version"] == VERSION
    assert [replica["replica"] for replica in document["acknowledgements"]] == ["here"]
    assert all(key in problem for problem in problems)


def test_a_damaged_log_is_a_problem_of_its_own_model_only(bucket):
    bucket._objects[keys.alias_record("digits", "champion", 2)] = b"{}"
    problems: list[str] = []

    document = status.of_model(bucket, load(), "digits", problems)

    assert document["champion"]["sequence"] == 1
    assert "champion/00000002.json" in problems[0]


def test_a_version_without_accuracy_is_listed_with_its_first_metric(bucket):
    later = "20261123T020000-0123456789ab"
    wape = Measurement(metric="wape", value=0.234, n=640)
    made = manifest(version=later).model_copy(update={"measurements": (wape,)})
    ModelRegistry(bucket, made.model).publish(made, FILES, SIGNER)

    newest = versions.gather(bucket, "digits")[-1]

    assert (newest["version"], newest["metric"], newest["value"]) == (later, "wape", 0.234)
    assert newest["accuracy"] is None


def test_the_champion_is_shown_with_its_history(bucket):
    document, shown = show.gather(bucket, "digits", "champion")

    assert (shown.version, document["champion"]) == (VERSION, True)
    assert document["manifest"]["fingerprint"] == FINGERPRINT
    assert [record["action"] for record in document["history"]] == ["promoted"]
    assert json.dumps(document)


def test_a_former_champion_is_shown_with_the_version_that_replaced_it(bucket):
    document, _ = show.gather(bucket, "digits", OLDER)

    assert not document["champion"]
    assert [record["version"] for record in document["history"]] == [OLDER, VERSION]


@pytest.mark.parametrize("as_json", [True, False])
def test_a_card_is_printed_as_json_or_text(bucket, as_json, capsys):
    document, shown = show.gather(bucket, "digits", OLDER)

    show.show(document, shown, as_json=as_json)

    assert "replaced by" in capsys.readouterr().out or as_json


@pytest.mark.parametrize(
    ("run", "requester"),
    [
        (RunLineage(id="r", name="n"), None),
        (RunLineage(id="r", name="n", by="the schedule"), "by the schedule"),
        (
            RunLineage(id="r", name="n", forced=True, by="ann", reason="a [/try] :bug: of two"),
            "by ann: forced: a [/try] :bug: of two",
        ),
        (
            RunLineage(
                id="r", name="n", forced=True, by="ada", reason="forced by ada", authenticated=True
            ),
            "by ada (authenticated): forced by ada",
        ),
    ],
    ids=["of an earlier release", "by the schedule", "forced", "without a reason"],
)
def test_the_requester_of_a_version_is_shown_with_the_reason_as_typed(run, requester, capsys):
    bucket = MemoryBucket()
    ModelRegistry(bucket, "digits").publish(
        manifest().model_copy(update={"run": run}), FILES, SIGNER
    )

    show.show(*show.gather(bucket, "digits", VERSION), as_json=False)

    lines = [line for line in capsys.readouterr().out.splitlines() if "requested " in line]
    assert len(lines) == (requester is not None)
    assert all(f" {requester} " in line for line in lines)


def test_live_scores_are_shown_next_to_the_score_on_the_holdout(bucket, capsys):
    promised = Measurement(metric="accuracy", value=0.99, n=10_000)
    for number, value in enumerate((0.98, 0.875)):
        measurements = (
            Measurement(metric="accuracy", value=value, n=1_000, low=value - 0.01, high=0.99),
            Measurement(metric="accuracy", slice="digit 1", value=0.5, n=100),
        )
        LiveScores(bucket, "digits").keep(
            Score(
                model="digits",
                version=VERSION,
                arrival=f"night-{number}",
                n=1_000,
                measurements=measurements,
                holdout=promised,
            )
        )

    document, shown = show.gather(bucket, "digits", VERSION)
    show.show(document, shown, as_json=False)
    status = live_scores.newest(bucket, "digits", VERSION)

    assert [one["arrival"] for one in document["live"]] == ["night-0", "night-1"]
    printed = capsys.readouterr().out
    assert "0.8750" in printed
    assert "0.8650–0.9900" in printed
    assert status is not None
    assert json.dumps(status)
    assert live_scores.line("digits", status) == (
        "digits: live accuracy 0.875 over the 1,000 rows of night-1; 0.99 on the holdout"
    )
    assert live_scores.newest(bucket, "digits", OLDER) is None


def test_the_error_about_an_unknown_version_names_the_known_ones(bucket):
    with pytest.raises(NothingPublished, match="digits"):
        versions.gather(bucket, "sales")
    with pytest.raises(NothingPublished):
        show.gather(bucket, "sales", "champion")
    with pytest.raises(UnknownVersion, match="overnight versions digits"):
        show.gather(bucket, "digits", "20200101T000000-0123456789ab")


def test_the_landing_lists_what_waits_and_what_is_in_quarantine(bucket, capsys):
    area = Landing(bucket, "digits")
    for name in ("new", "unwanted", "known"):
        area.land(name, {"a.csv": b"label", "b.csv": b"more"}, by="ann", at=AT)
    ArrivalReviews(bucket, "digits").decide("unwanted", "excluded", Actor("ada", "by far"))
    area.quarantine(area.pending()[0], "a.csv", b"label", "a.csv: expected a column")

    document = landing.gather(bucket, "digits", lambda: {"known"})
    landing._show("digits", document)

    states = {each["arrival"]: each["state"].partition(":")[0] for each in document["pending"]}
    assert states == {
        "known": "ingested or refused before under this name",
        "new": "waits",
        "unwanted": "excluded",
    }
    assert document["pending"][1]["bytes"] == 9
    assert document["quarantined"][0]["reason"] == "a.csv: expected a column"
    assert json.dumps(document)
    printed = capsys.readouterr().out
    assert "a.csv and 1 more" in printed
    assert "excluded: it will be quarantined" in printed


def test_a_pending_arrival_is_listed_with_its_findings_and_both_commands(bucket):
    finding = Finding(gate="SameShares", metric="label", passed=False, message="sevens are missing")
    for name in ("night-0007", "night-0008"):
        ArrivalReviews(bucket, "digits").park(name, [finding], compared_with=VERSION)
    ArrivalReviews(bucket, "digits").decide("night-0008", "accepted", Actor("ada", "fine"))

    (review,) = status_notices.pending_reviews(bucket, "digits", dict)
    notice = "\n".join(status_notices.review_lines("digits", review))

    assert (review["arrival"], review["findings"]) == ("night-0007", ["label: sevens are missing"])
    assert "label: sevens are missing" in notice
    assert "overnight accept digits night-0007 --reason" in notice
    assert "overnight exclude digits night-0007 --reason" in notice
    assert json.dumps(review)


def test_an_arrival_that_the_champion_has_learned_is_not_pending(bucket):
    finding = Finding(gate="SameShares", metric="label", passed=False, message="sevens are missing")
    for name in ("night-0007", "night-0008"):
        ArrivalReviews(bucket, "digits").park(name, [finding], compared_with=OLDER)

    # The champion's is version 1 of the dataset.
    came = {"night-0007": 1, "night-0008": 2}
    waiting = status_notices.pending_reviews(bucket, "digits", lambda: came)

    assert [review["arrival"] for review in waiting] == ["night-0008"]


def test_status_lists_the_services_that_do_not_answer(monkeypatch, tmp_path):
    monkeypatch.setenv("OVERNIGHT_HOME", str(tmp_path))
    for name in ("S3", "PREFECT", "SERVING"):
        monkeypatch.setenv(f"OVERNIGHT_{name}_PORT", str(free_port()))

    document = status.gather(load())

    assert document["ready"] is False
    assert document["services"] == []
    assert set(document["addresses"]) == {"serving", "serving_grpc", "prefect", "store"}
    assert [problem.partition(" at ")[0] for problem in document["problems"]] == [
        "the object store",
        "Prefect",
    ]
    assert json.dumps(document)


def test_a_challenge_is_shown_while_it_runs_and_after_its_withdrawal(bucket):
    assert status_notices.challenge(registry(bucket)) is None
    registry(bucket, "digits").decisions.decide(VERSION, "approved", Actor("a"))
    terms = Terms(mode="canary", share=0.25)
    record = challenges(bucket, "digits").start(OLDER, terms=terms, actor=Actor("bob", "a try"))

    status = status_notices.challenge(registry(bucket))
    line = status_notices.challenge_line("digits", status, ShortNames(None))

    assert line.startswith(f"digits: {OLDER} challenges as canary with 25% of the clients since")
    assert line.endswith("by bob: a try")
    assert json.dumps(status)

    withdrawal = Withdrawal(replica="here", version=OLDER, reason="too slow")
    challenges(bucket, record.model).withdraw(record, withdrawal)
    status = status_notices.challenge(registry(bucket))
    assert status_notices.challenge_line("digits", status, ShortNames(None)).endswith(
        "withdrawn by here: too slow"
    )

    challenges(bucket, "digits").start(OLDER, terms=terms, actor=Actor("bob", "again"))
    challenges(bucket, "digits").stop(Actor("bob", "enough"))
    assert status_notices.challenge(registry(bucket)) is None
