"""The card tells the whole story, and nothing from outside can write in it."""

from pathlib import Path

from overnight import models
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Finding, Measurement, Override, RunLineage
from overnight.tasks.data.ingest import Ingested
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.reporting.markdown import page
from overnight.tasks.reporting.report import RunReport, render
from tests.support.examples import VERSION, manifest

DEFINITION = models.find("digits")
EVIL = '<script>alert(1)</script> | [x](javascript:alert(2)) `"'


def evaluation() -> Evaluation:
    mine = Measurement(metric="accuracy", value=0.99, n=100, low=0.98, high=0.995)
    theirs = Measurement(metric="accuracy", value=0.97, n=100)
    return Evaluation((mine,), champion="v1", champion_measurements=(theirs,))


def test_candidate_and_champion_stand_side_by_side() -> None:
    told = render(
        RunReport("digits", evaluation=evaluation()), DEFINITION, headline="x", message="y"
    )

    assert "against v1" in told
    row = next(line for line in told.splitlines() if line.startswith("| accuracy"))
    assert row == "| accuracy | whole holdout | 0.9900 | 0.9800 to 0.9950 | 0.9700 | 100 |"


def test_every_finding_is_told_with_value_and_bound() -> None:
    findings = (
        Finding(gate="AtLeast", metric="accuracy", passed=True, message="m", value=0.9, bound=0.8),
        Finding(gate="AtMost", metric="p99_ms", passed=False, message="slow", value=9, bound=5),
        Finding(gate="MaximumRegression", metric="a", passed=True, message="n", applicable=False),
    )

    told = render(
        RunReport("digits", verdict=Verdict(findings)),
        DEFINITION,
        headline="Refused",
        message="why",
    )

    verdicts = [
        line.split("|")[1].strip() for line in told.splitlines() if "AtL" in line or "AtM" in line
    ]
    assert verdicts == ["holds", "**refuses**"]
    assert "not applicable" in told


def test_a_word_that_overruled_gates_stands_below_them() -> None:
    refused = Finding(gate="AtLeast", metric="accuracy", passed=False, message="m")
    word = Override(by="ann", reason="better | than none", overruled=(refused.name,))
    story = RunReport("digits", verdict=Verdict((refused,)), override=word)

    told = render(story, DEFINITION, headline="the report", message="y")

    below = told[told.index("**refuses**") :]
    assert "**Overruled** by ann: better \\| than none" in below
    assert "- AtLeast accuracy" in below


def test_the_lineage_names_version_and_code() -> None:
    told = render(RunReport("digits", manifest=manifest()), DEFINITION, headline="x", message="y")

    assert VERSION in told
    assert "| overridden | no |" in told


def test_the_lineage_names_who_asked_for_the_run_and_why() -> None:
    run = RunLineage(id="r", name="n", forced=True, by="ann", reason="a short | fit")
    forced = manifest().model_copy(update={"run": run})

    told, before = (
        render(RunReport("digits", manifest=made), DEFINITION, headline="x", message="y")
        for made in (forced, manifest())
    )

    assert "| asked for | by ann: forced: a short \\| fit |" in told
    assert "| asked for | not recorded |" in before


def test_pictures_are_inside_the_page(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    story = RunReport("digits", pictures={"Confusion": tmp_path / "p.png"})

    html = page(render(story, DEFINITION, headline="x", message="y"), title="t").decode()

    assert '<img src="data:image/png;base64,iVBORw==" alt="Confusion"' in html


def test_words_from_outside_cannot_become_markup() -> None:
    finding = Finding(gate="AtLeast", metric="accuracy", passed=False, message=EVIL)

    html = page(
        render(
            RunReport("digits", verdict=Verdict((finding,))), DEFINITION, headline="x", message="y"
        ),
        title=EVIL,
    ).decode()

    assert "<script" not in html
    assert 'javascript:alert(2)"' not in html
    assert 'href="javascript' not in html


def test_what_was_found_of_the_data_stands_in_a_table_of_its_own() -> None:
    shift = Finding(
        gate="SameShares", metric="label", slice="night-7", passed=False, message="no sevens"
    )
    whole = Finding(gate="enough rows", metric="rows", passed=True, message="1,200 rows")
    story = RunReport("digits", data_findings=(whole, shift))

    told = render(story, DEFINITION, headline="AwaitingApproval", message="y")

    assert "## Data gates" in told
    assert "## Gates" not in told
    assert "| **refuses** | SameShares | label on night-7 |" in told
    assert "| holds | enough rows |" in told


def test_an_arrival_of_which_nothing_was_taken_is_named_with_the_reason() -> None:
    finding = Finding(
        gate="few repeats", metric="rows", slice="night-7", passed=False, message="all the same"
    )
    ingested = Ingested(arrivals=("night-7",), findings=(finding,))

    told = render(RunReport("digits", ingested=ingested), DEFINITION, headline="x", message="y")

    assert "Nothing was taken from:\n\n- night-7: all the same" in told


def test_an_arrival_that_was_met_before_is_named_with_what_to_do() -> None:
    for ingested in (Ingested(skipped=("night-7",)), Ingested(("night-8",), skipped=("night-7",))):
        told = render(RunReport("digits", ingested=ingested), DEFINITION, headline="x", message="y")

        assert "night-7 was taken in or refused before under this name" in told
        assert "change the name of a file" in told


def test_what_changed_since_the_champion_is_told_axis_by_axis() -> None:
    changes = (
        Axis("data", changed=True, detail="50,000 rows then, 51,000 now"),
        Axis("code", changed=False, detail="the same sources"),
    )

    told = render(
        RunReport("digits", champion="v1", changes=changes), DEFINITION, headline="x", message="y"
    )

    assert "## What changed since v1" in told
    assert "| **changed** | data | 50,000 rows then, 51,000 now |" in told
    assert "| same | code | the same sources |" in told
