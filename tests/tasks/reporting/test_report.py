"""The report shows every part of a run and escapes text from outside."""

import html
import math
import re
from pathlib import Path

import pytest
from markdown_it import MarkdownIt

from overnight import models
from overnight.models.metrics.evaluation import Evaluation
from overnight.store.registry.manifest import Finding, Measurement, Override, RunLineage
from overnight.tasks.data.admission import Ingested
from overnight.tasks.evaluation.explain import Axis
from overnight.tasks.evaluation.judge import Verdict
from overnight.tasks.reporting.markdown import cell, fold, page, table
from overnight.tasks.reporting.report import RunReport, render
from tests.support.examples import VERSION, manifest

DEFINITION = models.find("digits")
EVIL = '<script>alert(1)</script> | [x](javascript:alert(2)) `"'


def evaluation() -> Evaluation:
    candidate = Measurement(metric="accuracy", value=0.99, n=100, low=0.98, high=0.995)
    champion = Measurement(metric="accuracy", value=0.97, n=100)
    return Evaluation((candidate,), champion="v1", champion_measurements=(champion,))


def test_a_slice_without_rows_has_a_dash_and_large_figures_have_separators() -> None:
    measured = (
        Measurement(metric="wape", value=math.nan, n=0, slice="holiday weeks"),
        Measurement(metric="units", value=50_000.4, n=2_000, low=49_000.0, high=51_000.0),
    )

    card = render(
        RunReport(model="digits", champion=None, evaluation=Evaluation(measured)),
        DEFINITION,
        headline="Promoted",
        message="",
    )

    assert "| wape | holiday weeks | \N{EN DASH} |" in card
    assert "| units | whole holdout | 50,000 | 49,000 to 51,000 |" in card
    assert "nan" not in card


@pytest.mark.parametrize(
    "text",
    [
        "![x](http://tracker.example/pixel.png)",
        "[click](http://evil.example)",
        "see http://evil.example and www.evil.example or mail a@evil.example",
        "<img src=http://evil.example/x.png>",
        "`code` *strong* _soft_ ~~gone~~ __init__ | cell \\",
        "# heading",
        "- item",
        "1. item",
        "line\nend\t|\r\n\n# heading",
    ],
)
def test_text_from_outside_stays_text(text: str) -> None:
    renderer = MarkdownIt("commonmark", {"html": True}).enable(["table", "strikethrough"])

    in_cell = renderer.render(table(("", ""), [("file", text)]))
    in_list = renderer.render(f"- {cell(text)}")

    # Renderers that make links of bare addresses search the source for them.
    assert not re.search(r"://|www\.|@", cell(text), re.IGNORECASE)
    for rendered in (in_cell, in_list):
        assert not re.findall(r"<(?:img|a|h1|code|em|strong|s|ol)\b", rendered)
        assert rendered.count("<tr>") in {0, 2}
        assert rendered.count("<li>") in {0, 1}
        shown = html.unescape(re.sub(r"<[^>]+>", "", rendered))
        assert " ".join(text.split()) in " ".join(shown.split())


def test_control_characters_are_shown_as_their_codes() -> None:
    assert cell("a\x1b[31mred\u202egpj.exe") == r"a\\x1b\[31mred\\u202egpj.exe"


def test_candidate_and_champion_are_shown_side_by_side() -> None:
    text = render(
        RunReport("digits", evaluation=evaluation()), DEFINITION, headline="x", message="y"
    )

    assert "compared with v1" in text
    # Before any table, because that is what people read first.
    first = text[: text.index("|")]
    assert "**accuracy 0.99** on 100 holdout rows; champion 0.97, change +0.0200" in first
    row = next(line for line in text.splitlines() if line.startswith("| accuracy"))
    assert row == "| accuracy | whole holdout | 0.9900 | 0.9800 to 0.9950 | 0.9700 | 100 |"


def test_every_finding_shows_value_and_bound() -> None:
    findings = (
        Finding(gate="AtLeast", metric="accuracy", passed=True, message="m", value=0.9, bound=0.8),
        Finding(gate="AtMost", metric="p99_ms", passed=False, message="slow", value=9, bound=5),
        Finding(gate="MaximumRegression", metric="a", passed=True, message="n", applicable=False),
    )

    text = render(
        RunReport("digits", verdict=Verdict(findings)),
        DEFINITION,
        headline="Refused",
        message="why",
    )

    verdicts = [
        line.split("|")[1].strip() for line in text.splitlines() if "AtL" in line or "AtM" in line
    ]
    # What failed is shown first, and again in the folded table of all.
    assert verdicts == ["**failed**", "passed", "**failed**"]
    assert "<details><summary>Gates: 1 passed, 1 failed, 1 not applicable</summary>" in text
    assert text.index("## Gates that failed") < text.index("<details>")
    assert "not applicable" in text


def test_an_override_is_shown_below_the_gates_it_overrides() -> None:
    refused = Finding(gate="AtLeast", metric="accuracy", passed=False, message="m")
    override = Override(by="ann", reason="better | than none", overruled=(refused.name,))
    report = RunReport("digits", verdict=Verdict((refused,)), override=override)

    text = render(report, DEFINITION, headline="the report", message="y")

    below = text[text.index("**failed**") :]
    assert "**Overridden** by ann: better \\| than none" in below
    assert "- AtLeast accuracy" in below


def test_the_lineage_names_version_and_code() -> None:
    text = render(RunReport("digits", manifest=manifest()), DEFINITION, headline="x", message="y")

    assert VERSION in text
    assert "| overridden | no |" in text


def test_the_lineage_names_the_requester_of_the_run_and_the_reason() -> None:
    run = RunLineage(id="r", name="n", forced=True, by="ann", reason="a short | fit")
    forced = manifest().model_copy(update={"run": run})

    text, before = (
        render(RunReport("digits", manifest=a_manifest), DEFINITION, headline="x", message="y")
        for a_manifest in (forced, manifest())
    )

    assert "| requested | by ann: forced: a short \\| fit |" in text
    assert "| requested | not recorded |" in before


def test_pictures_are_embedded_in_the_page(tmp_path: Path) -> None:
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    report = RunReport("digits", pictures={"Confusion": tmp_path / "p.png"})

    html = page(render(report, DEFINITION, headline="x", message="y"), title="t").decode()

    assert '<img src="data:image/png;base64,iVBORw==" alt="Confusion"' in html


def test_text_from_outside_cannot_become_markup() -> None:
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


def test_findings_about_the_data_have_a_table_of_their_own() -> None:
    shift = Finding(
        gate="SameShares", metric="label", slice="night-7", passed=False, message="no sevens"
    )
    whole = Finding(gate="enough rows", metric="rows", passed=True, message="1,200 rows")
    report = RunReport("digits", data_findings=(whole, shift))

    text = render(report, DEFINITION, headline="AwaitingApproval", message="y")

    assert "## Data gates that failed" in text
    assert "<summary>Data gates: 1 passed, 1 failed</summary>" in text
    assert "Gates:" not in text
    assert "| **failed** | SameShares | label on night-7 |" in text
    assert "| passed | enough rows |" in text


def test_a_refused_arrival_is_named_with_the_reason() -> None:
    finding = Finding(
        gate="few repeats", metric="rows", slice="night-7", passed=False, message="all the same"
    )
    ingested = Ingested(arrivals=("night-7",), findings=(finding,))

    text = render(RunReport("digits", ingested=ingested), DEFINITION, headline="x", message="y")

    assert "Refused arrivals:\n\n- night-7: all the same" in text


def test_a_skipped_arrival_is_named_with_the_remedy() -> None:
    for ingested in (Ingested(skipped=("night-7",)), Ingested(("night-8",), skipped=("night-7",))):
        text = render(RunReport("digits", ingested=ingested), DEFINITION, headline="x", message="y")

        assert "night-7 was ingested or refused before under this name" in text
        assert "change the name of a file" in text


def test_changes_since_the_champion_are_shown_axis_by_axis() -> None:
    changes = (
        Axis("data", changed=True, detail="50,000 rows then, 51,000 now"),
        Axis("code", changed=False, detail="the same sources"),
    )

    text = render(
        RunReport("digits", champion="v1", changes=changes), DEFINITION, headline="x", message="y"
    )

    assert "Changed since v1: data (50,000 rows then, 51,000 now)" in text
    assert "<summary>What changed since v1</summary>" in text
    assert "| **changed** | data | 50,000 rows then, 51,000 now |" in text
    assert "| same | code | the same sources |" in text


def test_the_card_begins_with_what_to_do_and_pictures_come_before_folded_tables(
    tmp_path: Path,
) -> None:
    (tmp_path / "p.png").write_bytes(b"\x89PNG")
    failed = Finding(gate="AtLeast", metric="accuracy", passed=False, message="m")
    report = RunReport(
        "digits",
        ingested=Ingested(("night-7",), rows_added=1_000),
        evaluation=evaluation(),
        verdict=Verdict((failed,)),
        manifest=manifest(),
        pictures={"Confusion": tmp_path / "p.png"},
    )

    text = render(report, DEFINITION, headline="Refused", message="why")

    order = ["# ", "why", "accuracy 0.99", "**To do.** The champion continues", "Gates that failed",
             "### Confusion", "<summary>Gates: 0 passed, 1 failed", "<summary>Holdout metrics",
             "<summary>New data: 1,000 rows added", "<summary>Lineage"]  # fmt: skip
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    assert "holds" not in text


def test_a_page_folds_what_the_report_folds_and_nothing_from_outside() -> None:
    evil = "<details><summary>open me</summary>"
    markdown = f"{cell(evil)}\n\n{fold('Gates: <b>', table(('', ''), [('a', evil)]))}"

    html = page(markdown, title="t").decode()

    assert html.count("<details>") == html.count("</details>") == 1
    assert "<summary>Gates: &lt;b&gt;</summary>" in html
    assert "<td>a</td>" in html
