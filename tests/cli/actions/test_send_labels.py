"""`overnight feedback`: labels of files in blocks, bad rows by line, and servers that want time."""

import gzip
import json
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet
import pytest

from overnight.cli.actions.labels import send_labels
from overnight.cli.actions.labels.label_rows import label_rows
from overnight.cli.actions.predict import NothingServed
from overnight.infra.errors import ServingRefused, ServingUnavailable
from overnight.serving.rest.middleware.admission import Admission
from overnight.serving.rest.middleware.token_auth import Tokens
from overnight.store.errors import BadFile
from tests.support.serving.label_spool import POLICY, LabelsInMemory, labelled_application
from tests.support.serving.threaded_server import served

CLASSES = tuple("0123456789")


@pytest.fixture
def serving(monkeypatch) -> Iterator:
    """Serve digits with a spool of labels, where the command finds it."""
    with ExitStack() as servers:

        def start(spool: LabelsInMemory, **chosen) -> None:
            url = servers.enter_context(served(labelled_application(spool, **chosen)))
            monkeypatch.setenv("OVERNIGHT_SERVING_URL", url)

        yield start


def sent(capsys, file: Path, model: str = "digits") -> tuple[int, dict, list[str]]:
    """The exit code, the report, and the lines about labels that were refused."""
    capsys.readouterr()
    code = send_labels.run(model, file, as_json=True)
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err.splitlines()


def test_labels_of_a_csv_are_sent_and_bad_lines_cost_no_others(serving, tmp_path, capsys):
    spool = LabelsInMemory()
    serving(spool)
    lines = ["request,caller,row,truth,note"]
    lines += [f"r{n},,{n},{n % 10},ok" for n in range(1_200)]
    lines[5] = "r3,,0,ten,no class"
    lines[700] = "r698,mine,0,3,both"
    lines[701] = "r699,,half,3,no row"
    lines[702] = ",mine,,7,by the caller"
    lines[703] = "a,b,c,d,e,f"
    (tmp_path / "labels.csv").write_text("\n".join(lines))

    code, report, errors = sent(capsys, tmp_path / "labels.csv")

    assert (code, report["accepted"], report["refused"]) == (1, 1_197, 3)
    assert sorted(each["line"] for each in report["lines"]) == [6, 702, 704]
    # The request's id, where a row has both.
    assert any((label.request, label.caller) == ("r698", "") for label in spool.labels)
    assert any(line.startswith("line 6: truth: expected a class (0, 1") for line in errors)
    assert {label.origin for label in spool.labels} == {"file"}
    by_caller = [label for label in spool.labels if label.caller]
    assert [(label.caller, label.row, label.truth) for label in by_caller] == [
        ("mine", 0, {"probabilities": "7"})
    ]


def test_all_forms_of_a_file_say_the_same(serving, tmp_path, capsys):
    rows = [{"request": "a", "row": 1, "truth": 7}, {"request": "b", "row": None, "truth": 0}]
    (tmp_path / "a.jsonl").write_text("\n".join(["", *map(json.dumps, rows)]))
    pyarrow.parquet.write_table(pa.Table.from_pylist(rows), tmp_path / "b.parquet")
    (tmp_path / "c.csv.gz").write_bytes(gzip.compress(b"truth;row;request\n7;1;a\n0;;b\n"))
    # A column of whole numbers with a gap is one of floating-point numbers in pandas.
    pandas = pa.table({"request": ["a", "b"], "row": [1.0, float("nan")], "truth": [7.0, 0.0]})
    pyarrow.parquet.write_table(pandas, tmp_path / "d.parquet")

    for file in sorted(tmp_path.iterdir()):
        spool = LabelsInMemory()
        serving(spool)
        assert sent(capsys, file)[0] == 0, file
        assert [
            (label.request, label.row, label.truth["probabilities"]) for label in spool.labels
        ] == [
            ("a", 1, "7"),
            ("b", 0, "0"),
        ], file


def test_a_file_without_labels_is_nothing_to_do(serving, tmp_path, capsys):
    serving(LabelsInMemory())
    (tmp_path / "l.csv").write_text("request,truth\n")

    assert sent(capsys, tmp_path / "l.csv")[0] == 4
    assert send_labels.run("digits", tmp_path / "l.csv", as_json=False) == 4
    assert "nothing to do" in capsys.readouterr().out


def test_many_refusals_for_one_reason_are_counted(serving, tmp_path, capsys):
    serving(LabelsInMemory())
    (tmp_path / "l.csv").write_text("request,truth\n" + "a,\n" * 600 + "b,ten\n")

    code, report, errors = sent(capsys, tmp_path / "l.csv")

    assert (code, report["refused"], len(errors)) == (1, 601, 12)
    assert errors[-1].startswith("and 590 more: truth: expected what was true")


def test_a_class_that_pandas_wrote_as_a_float_is_that_class(tmp_path):
    (tmp_path / "l.csv").write_text("request,truth\na,7.0\nb,07\nc,7.5\nd,inf\n")

    truths = [row.label["truth"] for row in label_rows(tmp_path / "l.csv", CLASSES)]

    assert truths == [7, 7, 7.5, "inf"]


@pytest.mark.parametrize(
    ("name", "body", "why"),
    [
        ("labels.xlsx", b"", "the ending '.xlsx'"),
        ("labels.csv", b"", "request or caller, truth"),
        ("labels.csv", b"id,label\n1,7\n", "the columns ['id', 'label']"),
        ("labels.csv", b"request,truth\n\xff\xfe,7\n", "CSV in UTF-8"),
        ("labels.csv.gz", b"request,truth\na,7\n", "CSV in UTF-8"),
        ("labels.parquet", b"PAR1", "a Parquet file"),
        ("labels.jsonl", b"\xff", "JSON lines in UTF-8"),
    ],
)
def test_a_file_that_cannot_be_read_says_what_is_expected(tmp_path, name, body, why):
    (tmp_path / name).write_bytes(body)

    with pytest.raises(BadFile, match=why.replace("[", r"\[")):
        list(label_rows(tmp_path / name, CLASSES))


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("{", "expected JSON"),
        ("[1]", "expected an object with request or caller"),
        ('{"request": "a"}', "truth: expected what was true"),
        ('{"truth": 7}', "found neither"),
        ('{"request": "a", "truth": 7, "row": -1}', "row: expected the row of the request"),
        ('{"request": "a", "truth": "[7"}', "truth: expected JSON"),
    ],
)
def test_a_line_that_is_no_label_says_why(tmp_path, text, why):
    (tmp_path / "labels.jsonl").write_text(f'{{"request": "a", "truth": 7}}\n{text}\n')

    good, bad = label_rows(tmp_path / "labels.jsonl", CLASSES)

    assert (good.line, good.problem, bad.line) == (1, "", 2)
    assert why in bad.problem


def test_numbers_and_truths_by_output_are_read_from_cells(tmp_path):
    (tmp_path / "n.csv").write_text('request,truth\na,2.5\nb,"{""units"": 3}"\nc,dear\n')

    truths = [row.label["truth"] for row in label_rows(tmp_path / "n.csv", ())]

    assert truths == [2.5, {"units": 3}, "dear"]


def test_a_daily_limit_stops_with_the_line_to_go_on_from(serving, tmp_path, capsys):
    spool = LabelsInMemory()
    serving(spool, policy=POLICY.model_copy(update={"labels_per_client_daily": 600}))
    (tmp_path / "l.csv").write_text("request,truth\n" + "a,7\n" * 2_000)

    code, report, _ = sent(capsys, tmp_path / "l.csv")

    assert (code, report["accepted"], report["refused"]) == (1, 600, 400)
    assert "stopped before line 1002" in report["stopped"]
    assert "600 labels a day" in report["stopped"]


def test_a_server_without_room_is_asked_again_and_then_left(serving, tmp_path, capsys):
    waits: list[float] = []
    serving(LabelsInMemory(room=0))
    (tmp_path / "l.csv").write_text("request,truth\na,7\n")

    code = send_labels.run("digits", tmp_path / "l.csv", as_json=True, wait=waits.append)

    report = json.loads(capsys.readouterr().out)
    assert (code, report["accepted"], waits) == (1, 0, [2.0] * 5)
    assert "the log of this server is full" in report["stopped"]


def test_a_moment_without_room_costs_no_label(serving, tmp_path, capsys):
    spool = LabelsInMemory(room=0)
    serving(spool)
    (tmp_path / "l.csv").write_text("request,truth\na,7\n")

    def make_room(_seconds: float) -> None:
        spool.room = 10

    code = send_labels.run("digits", tmp_path / "l.csv", as_json=False, wait=make_room)

    assert code == 0
    assert "1 labels accepted, 0 refused" in capsys.readouterr().out


def test_what_is_not_served_or_not_allowed_is_an_error(serving, tmp_path, monkeypatch):
    (tmp_path / "l.csv").write_text("request,truth\na,7\n")
    serving(LabelsInMemory(), admission=Admission(keys=Tokens(token="a-key-for-predictions")))
    with pytest.raises(ServingRefused, match="set OVERNIGHT_ADMIN_TOKEN"):
        send_labels.run("digits", tmp_path / "l.csv", as_json=False)

    serving(LabelsInMemory(), policy=None)
    with pytest.raises(ServingRefused, match="takes no labels of its answers"):
        send_labels.run("digits", tmp_path / "l.csv", as_json=False)
    with pytest.raises(NothingServed):
        send_labels.run("other", tmp_path / "l.csv", as_json=False)

    monkeypatch.setenv("OVERNIGHT_SERVING_URL", "http://127.0.0.1:9")
    with pytest.raises(ServingUnavailable):
        send_labels.run("digits", tmp_path / "l.csv", as_json=False)
