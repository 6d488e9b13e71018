"""`overnight predict` for every model: files of rows and pictures, and rows that fail."""

import io
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet
import pytest
from PIL import Image
from werkzeug.serving import make_server

from overnight.cli.actions import open_page, predict
from overnight.infra.errors import ServingRefused
from overnight.models.errors import UnknownModel
from overnight.serving.inference.limits import Limits
from overnight.store.novelty import LearnedRange, NoveltyRule
from overnight.store.schema import Schema
from tests.support.serving import bundles, published
from tests.support.serving.clients import application_of

LIMITS = Limits(batch_rows=4)
HEADER = "id,title,price,shop,clicks,label\n"


@pytest.fixture
def serving(monkeypatch) -> Iterator:
    """Serve a version on a port, where the command finds it."""
    stops = []

    def start(tensors: Schema, files: dict[str, bytes], novelty: NoveltyRule | None = None) -> None:
        client = application_of(tensors, files=files, limits=LIMITS, novelty=novelty)
        wrapped = client.application

        def application(environ, start_response):
            # As its own server does: with the body whole, and no open end.
            length = int(environ.get("CONTENT_LENGTH") or 0)
            environ["wsgi.input"] = io.BytesIO(environ["wsgi.input"].read(length))
            return wrapped(environ, start_response)

        server = make_server("127.0.0.1", 0, application, threaded=True)
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        stops.append((server, thread))
        monkeypatch.setenv("OVERNIGHT_SERVING_URL", f"http://127.0.0.1:{server.port}")

    yield start
    for server, thread in stops:
        server.shutdown()
        thread.join()
        server.server_close()


@pytest.fixture
def rows(serving) -> None:
    serving(published.TENSORS, published.files())


def predicted(capsys, *files: Path) -> tuple[int, list[dict], list[str]]:
    """The exit code, the predictions, and the lines about rows that failed."""
    capsys.readouterr()
    code = predict.run(bundles.MODEL, files, as_json=True)
    printed = capsys.readouterr()
    return code, json.loads(printed.out), printed.err.splitlines()


def sums(predictions: list[dict]) -> list[list[float]]:
    return [prediction["answer"][:6] for prediction in predictions]


def test_csv_rows_with_texts_gaps_categories_and_lists(rows, tmp_path, capsys):
    body = HEADER + 'a,red blau,4,north,"[1, 2, 3]",x\nb,,,,[],y\nc,"red, green",1.5,2,[1],\n'
    (tmp_path / "rows.csv").write_text(body, encoding="utf-8-sig")

    code, predictions, errors = predicted(capsys, tmp_path / "rows.csv")

    assert (code, errors) == (0, [])
    assert sums(predictions) == [[6, 4, 0, 1, 6, 6], [0, 7.5, 1, 2, 0, 6], [4, 1.5, 0, 2, 1, 6]]
    assert [each["file"] for each in predictions] == [f"rows.csv row {n}" for n in (1, 2, 3)]
    assert {each["version"] for each in predictions} == {bundles.version_name(1)}
    assert predictions[0]["outputs"]["double"] == [12, 8]


def test_rows_unlike_what_was_learned_say_why(serving, tmp_path, capsys):
    price = LearnedRange(low=0, high=10, margin=5)
    rule = NoveltyRule(false_flags=0.01, ranges={"price": price})
    serving(published.TENSORS, published.files(), rule)
    lines = [f"a,red,{amount},north,[1],x\n" for amount in (4, 40, 5, 6, 7, 80)]
    (tmp_path / "rows.csv").write_text(HEADER + "".join(lines))

    code, predictions, _ = predicted(capsys, tmp_path / "rows.csv")

    why = "price is outside of 0 to 10, which was learned"
    assert code == 0
    assert [each["unlike_training"] for each in predictions] == ["", why, "", "", "", why]

    predict.run(bundles.MODEL, [tmp_path / "rows.csv"], as_json=False)
    assert "unlike" in capsys.readouterr().out


def test_one_bad_row_does_not_cost_the_others(rows, tmp_path, capsys):
    # More rows than the server takes at once, and bad ones of every kind.
    good = "a,red,{},north,[1],x\n"
    bad = ["a,red,dear,north,[1],x\n", "a,red,999,north,[1],x\n", "a,red,1,north,[1,x\n"]
    bad += ["a,red,1,north,[1;2],x\n", 'a,red,1,north,"[1,2,3,4,5,6,7]",x\n']
    lines = [bad[n // 2] if n % 2 else good.format(n) for n in range(10)]
    (tmp_path / "rows.csv").write_text(HEADER + "".join(lines))

    code, predictions, errors = predicted(capsys, tmp_path / "rows.csv")

    assert code == 1
    assert [each["file"] for each in predictions] == [f"rows.csv row {n}" for n in range(1, 11, 2)]
    assert [each["answer"][1] for each in predictions] == [0, 2, 4, 6, 8]
    assert sorted(line.split(":")[0] for line in errors) == sorted(
        f"rows.csv row {n}" for n in range(2, 11, 2)
    )
    by_row = {line.split(":")[0][-1]: line for line in errors}
    assert "expected FP32 values, found the text 'dear'" in by_row["2"]
    assert "expected numbers of at most 100" in by_row["4"]


def test_json_lines_and_parquet_say_the_same(rows, tmp_path, capsys):
    content = [
        {"title": "red", "price": 4.0, "shop": "north", "clicks": [1.0, 2.0], "weight": 5.0},
        {"title": "blau", "price": None, "shop": None, "clicks": [], "weight": 6.0},
    ]
    lines = [*map(json.dumps, content), "", "{", "[1]"]
    (tmp_path / "rows.jsonl").write_text("\n".join(lines))
    pyarrow.parquet.write_table(pa.Table.from_pylist(content), tmp_path / "rows.parquet")
    (tmp_path / "rows.json").write_text(json.dumps(content))

    code, from_lines, errors = predicted(capsys, tmp_path / "rows.jsonl")
    same = [predicted(capsys, tmp_path / f"rows.{kind}") for kind in ("parquet", "json")]

    assert [each["answer"] for each in from_lines] == [
        [2, 4, 0, 1, 3, 2, 5],
        [4, 7.5, 1, 2, 0, 2, 6],
    ]
    assert code == 1
    assert [line.split(":")[0] for line in errors] == ["rows.jsonl row 4", "rows.jsonl row 5"]
    for other_code, predictions, _ in same:
        assert other_code == 0
        assert [p["answer"] for p in predictions] == [p["answer"] for p in from_lines]


@pytest.mark.parametrize(
    ("name", "body", "message"),
    [
        ("rows.csv", "title,price\nred,1\n", "a column for each of"),
        ("rows.parquet", "nothing", "expected a Parquet file"),
        ("rows.txt", "1", "expected rows with"),
        ("photo.png", "1", "found an image"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_and_costs_no_other(
    rows, tmp_path, capsys, name, body, message
):
    (tmp_path / name).write_text(body)
    (tmp_path / "good.csv").write_text(HEADER + "a,red,4,north,[1],x\n")

    code, predictions, errors = predicted(capsys, tmp_path / name, tmp_path / "good.csv")

    assert (code, len(predictions)) == (1, 1)
    assert errors[0].startswith(f"{name}: ")
    assert message in errors[0]


def picture(path: Path, colour: tuple[int, int, int], size: tuple[int, int] = (12, 8)) -> Path:
    Image.new("RGB", size, colour).save(path)
    return path


def test_pictures_of_every_format_and_size_in_one_command(serving, tmp_path, capsys):
    serving(published.PHOTO_TENSORS, published.photo_files())
    files = [picture(tmp_path / f"red.{kind}", (250, 5, 0)) for kind in ("png", "bmp", "gif")]
    files.append(picture(tmp_path / "blue.webp", (0, 0, 250), (60, 40)))
    (tmp_path / "broken.png").write_bytes(b"no picture")
    (tmp_path / "list.csv").write_text("photo\nred.png\nmissing.png\n")

    code, predictions, errors = predicted(
        capsys, *files, tmp_path / "broken.png", tmp_path / "list.csv"
    )

    assert code == 1
    assert [each["label"] for each in predictions] == ["red", "red", "red", "blue", "red"]
    assert len(predictions[0]["outputs"]["embedding"]) == 288
    assert {line.split(":")[0] for line in errors} == {"broken.png", "list.csv row 2"}


def test_a_table_shows_labels_and_shortens_long_answers(serving, tmp_path, capsys):
    tensors = published.PHOTO_TENSORS
    serving(tensors.model_copy(update={"outputs": tensors.outputs[::-1]}), published.photo_files())

    assert predict.run("digits", [picture(tmp_path / "red.png", (250, 5, 0))], as_json=False) == 0

    assert "[250, 5, 0, 250, 5, 0, 250, 5, … 280 more]" in capsys.readouterr().out


def test_digits_are_predicted_as_before(serving, tmp_path, capsys):
    drawing = bundles.TENSORS.inputs[0].model_copy(update={"bright_on_dark": True})
    serving(bundles.TENSORS.with_inputs({"image": drawing}), bundles.files(1))
    Image.fromarray(bundles.IMAGES[0]).save(tmp_path / "noise.png")
    np.save(tmp_path / "several.npy", bundles.IMAGES[:2])

    code, predictions, _ = predicted(capsys, tmp_path / "several.npy", tmp_path / "noise.png")

    expected = bundles.probabilities(1)
    assert code == 0
    assert [each["file"] for each in predictions] == [
        "several.npy[0]",
        "several.npy[1]",
        "noise.png",
    ]
    assert [each["answer"] for each in predictions[:2]] == expected[:2].argmax(axis=1).tolist()
    assert predictions[0]["probability"] == pytest.approx(expected[0].max())


def test_four_of_five_drawings_are_answered_when_one_is_blank(serving, tmp_path, capsys):
    drawing = bundles.TENSORS.inputs[0].model_copy(update={"bright_on_dark": True})
    serving(bundles.TENSORS.with_inputs({"image": drawing}), bundles.files(1))
    files = [tmp_path / f"{number}.png" for number in range(5)]
    for file in files:
        Image.fromarray(bundles.IMAGES[0]).save(file)
    # Of just the model's size, and empty: a network would answer it as surely as any other.
    Image.new("L", (28, 28), 255).save(files[2])

    code, predictions, errors = predicted(capsys, *files)

    assert code == 1
    assert [each["file"] for each in predictions] == ["0.png", "1.png", "3.png", "4.png"]
    assert errors == ["2.png: expected something drawn, found an empty image"]


def test_elements_of_json_that_are_no_rows_cost_no_other(rows, tmp_path, capsys):
    good = {"title": "red", "price": 4.0, "shop": "north", "clicks": [1.0]}
    (tmp_path / "rows.json").write_text(json.dumps([good, 5, good, {"title": "red"}, None]))

    code, predictions, errors = predicted(capsys, tmp_path / "rows.json")

    assert code == 1
    assert [each["file"] for each in predictions] == ["rows.json row 1", "rows.json row 3"]
    assert [line.split(":")[0] for line in errors] == [f"rows.json row {n}" for n in (2, 4, 5)]
    assert "expected a value for price, shop" in errors[1]


def test_no_probability_is_shown_as_certain():
    assert predict._share(0.99999) == "> 99.9 %"
    assert predict._share(0.52) == "52.0 %"


def test_the_address_of_a_page_is_printed_for_models_that_are_served(rows, capsys):
    open_page.run("digits", browse=True)

    assert capsys.readouterr().out.endswith("/#digits\n")
    with pytest.raises(UnknownModel, match="no model is called 'nosuch'; known are: digits"):
        open_page.run("nosuch", browse=True)


def test_a_model_without_a_version_is_no_fault_of_any_row():
    with pytest.raises(ServingRefused, match="no version of digits serves yet"):
        predict.input_tensors({"name": "digits", "version": None}, "digits")


def test_a_model_that_serving_does_not_know_is_an_error_with_the_remedy(rows, tmp_path):
    (tmp_path / "rows.csv").write_text(HEADER)

    with pytest.raises(ServingRefused, match="of 'bread', but of digits; if 'bread' is no typing"):
        predict.run("bread", [tmp_path / "rows.csv"], as_json=True)


def test_a_csv_may_be_compressed_and_have_other_delimiters(rows, tmp_path, capsys):
    import gzip

    body = "title;price;shop;clicks\nred;4;north;[1]\n"
    (tmp_path / "rows.csv.gz").write_bytes(gzip.compress(body.encode()))

    code, predictions, _ = predicted(capsys, tmp_path / "rows.csv.gz")

    assert (code, sums(predictions)) == (0, [[2, 4, 0, 1, 1, 2]])


def test_columns_may_be_called_as_in_the_file_that_a_model_was_made_of(rows, tmp_path, capsys):
    # `overnight new --from` makes names of such headers that networks can be exported with.
    (tmp_path / "rows.csv").write_text("title?,(price),shop,clicks,\nred,4,north,[1],\n")

    code, predictions, errors = predicted(capsys, tmp_path / "rows.csv")

    assert (code, errors, sums(predictions)) == (0, [], [[2, 4, 0, 1, 1, 2]])
