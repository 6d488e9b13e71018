"""Batch scoring: every row once, with what LiteRT answers, whatever happens on the way."""

import csv
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from deltalake import DeltaTable, write_deltalake

from overnight.store.errors import (
    BadFile,
    ConfigurationError,
    StoreUnavailable,
    UnknownVersion,
    UntrustedVersion,
)
from overnight.store.novelty import UNLIKE_TRAINING, LearnedRange, NoveltyRule
from overnight.store.objects.memory import MemoryBucket
from overnight.store.predictions.records import client_digest
from overnight.store.predictions.tables import PredictionTable
from overnight.store.registry.actor import Actor
from overnight.store.registry.manifest import LogPolicy
from overnight.store.registry.registry import ModelRegistry
from overnight.tasks.scoring import batch_score as scoring
from overnight.tasks.scoring.batch_score import BatchScored, ScoreRequest, batch_score
from overnight.tasks.scoring.places import RowsPlace, parts_folder
from tests.support.serving import bundles
from tests.support.signing_keys import SIGNER, alias_log, registry

N = 300
IMAGES = np.random.default_rng(5).integers(0, 256, (N, 28, 28), dtype=np.uint8)
EXPECTED = bundles.probabilities(1, IMAGES)
POLICY = LogPolicy(share=1, inputs="values", clients="digest", feedback=True)
DARK = NoveltyRule(false_flags=0.01, ranges={"image": LearnedRange(low=0, high=127, margin=10)})
OUTPUTS = ("answers.csv", "answers.parquet", "answers")


class Killed(BaseException):
    """The process ends here."""


class Scoring:
    """A registry in memory with a champion, and files in a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.bucket = folder, MemoryBucket()
        self.log = PredictionTable.in_folder(folder, "digits")

    @property
    def registry(self) -> ModelRegistry:
        return registry(self.bucket)

    def publish(
        self,
        number: int,
        *,
        policy: LogPolicy | None = None,
        novelty: NoveltyRule | None = None,
    ) -> str:
        files = bundles.files(number)
        made = bundles.manifest(number, files)
        made = made.model_copy(update={"logged": policy, "novelty": novelty})
        ModelRegistry(self.bucket, "digits").publish(made, files, SIGNER)
        bundles.approve(self.bucket, number)
        log = alias_log(self.bucket)
        champion = log.current()
        log.append(
            made.version,
            expected=champion.version if champion else None,
            actor=Actor("test", "to score"),
        )
        return made.version

    def place(self, name: str, *, written: bool = False) -> RowsPlace:
        return RowsPlace.parse(str(self.folder / name), None, written=written)

    def request(self, rows: str, output: str, **fields: object) -> ScoreRequest:
        target = self.place(output, written=True)
        parts = parts_folder(target, self.folder)
        request = ScoreRequest("digits", self.place(rows), target, parts, client="ann")
        return replace(request, **fields)  # type: ignore[arg-type]

    def score(self, rows: str, output: str, **fields: object) -> BatchScored:
        return batch_score(self.registry, self.log, self.request(rows, output, **fields))

    def read(self, output: str) -> pa.Table:
        path = self.folder / output
        if path.is_dir():
            rows = DeltaTable(str(path)).to_pyarrow_table()
        else:
            is_csv = path.suffix == ".csv"
            rows = pyarrow.csv.read_csv(path) if is_csv else pq.read_table(path)
        # Columns of a CSV are carried over as texts.
        ids = rows["id"].cast(pa.int64())
        rows = rows.set_column(rows.column_names.index("id"), "id", ids)
        return rows.sort_by("id") if path.is_dir() else rows


@pytest.fixture
def setup(tmp_path: Path) -> Scoring:
    made = Scoring(tmp_path)
    made.publish(1, policy=POLICY)
    return made


@pytest.fixture
def small_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    """Requests of 20 rows, and parts of 60."""
    monkeypatch.setattr(scoring, "_REQUEST_ROWS", 20)
    monkeypatch.setattr(scoring, "_PART_ROWS", 60)


def table(images: np.ndarray = IMAGES) -> pa.Table:
    flat = pa.FixedSizeListArray.from_arrays(pa.array(images.reshape(-1)), 784)
    return pa.table({"id": pa.array(range(len(images))), "image": flat})


def write_rows(folder: Path, kind: str, images: np.ndarray = IMAGES) -> str:
    if kind == "parquet":
        pq.write_table(table(images), folder / "rows.parquet", row_group_size=70)
        return "rows.parquet"
    if kind == "delta":
        for start in range(0, len(images), 100):
            part = table(images).slice(start, 100)
            nested = part.set_column(1, "image", part["image"].cast(pa.list_(pa.int16())))
            write_deltalake(str(folder / "rows"), nested, mode="append")
        return "rows"
    with (folder / "rows.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", "image"])
        writer.writerows([n, json.dumps(image.tolist())] for n, image in enumerate(images))
    return "rows.csv"


def answers(rows: pa.Table) -> np.ndarray:
    """The probabilities of scored rows, in the order of their ids."""
    column = rows.sort_by("id")["output.probabilities"].to_pylist()
    return np.array([json.loads(each) if isinstance(each, str) else each for each in column])


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("kind", ["csv", "parquet", "delta"])
def test_every_row_gets_the_answer_of_its_version(
    setup: Scoring, small_parts: None, kind: str, output: str
) -> None:
    scored = setup.score(write_rows(setup.folder, kind), output, keep=["id"], threads=2)

    rows = setup.read(output)
    assert (scored.state.scored, scored.state.rejected, rows.num_rows) == (N, 0, N)
    np.testing.assert_allclose(answers(rows), EXPECTED, atol=1e-5)
    ordered = rows.sort_by("id")
    assert [int(each) for each in ordered["answer"].to_pylist()] == EXPECTED.argmax(1).tolist()
    assert set(rows["version"].to_pylist()) == {bundles.version_name(1)}
    assert not (setup.folder / f"{output}.parts").exists()


def test_answers_are_recorded_as_the_model_declares(setup: Scoring, small_parts: None) -> None:
    setup.score(write_rows(setup.folder, "parquet"), "answers.parquet")

    rows, log = setup.read("answers.parquet"), setup.log.read()
    assert log.num_rows == N
    assert set(log["route"].to_pylist()) == {"batch"}
    assert set(log["client"].to_pylist()) == {client_digest("digits", "ann")}
    recorded = dict(zip(_ids(log), log["input.image"].to_pylist(), strict=True))
    written = dict(zip(_ids(rows), rows["image"].to_pylist(), strict=True))
    assert recorded == written


@pytest.mark.parametrize(
    ("policy", "fields"),
    [
        (None, {}),
        (LogPolicy(share=1, inputs="none", clients="none", feedback=False), {"record": False}),
    ],
)
def test_nothing_is_recorded_where_the_model_or_the_person_says_so(
    tmp_path: Path, policy: LogPolicy | None, fields: dict[str, object]
) -> None:
    setup = Scoring(tmp_path)
    setup.publish(1, policy=policy)
    setup.score(write_rows(tmp_path, "parquet"), "answers.parquet", **fields)
    assert setup.log.read().num_rows == 0


def test_only_the_share_of_the_requests_is_recorded(tmp_path: Path, small_parts: None) -> None:
    setup = Scoring(tmp_path)
    setup.publish(1, policy=LogPolicy(share=0.5, inputs="digest", clients="key", feedback=False))
    setup.score(write_rows(tmp_path, "parquet"), "answers.parquet")

    log = setup.log.read()
    assert 0 < log.num_rows < N
    assert "input.image" not in log.column_names
    assert all(log["digest"].to_pylist())
    assert set(log["client"].to_pylist()) == {"ann"}


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("killed_at", ["output", "log", "progress", "finish"])
def test_a_killed_run_continues_and_no_row_is_there_twice(
    setup: Scoring,
    small_parts: None,
    monkeypatch: pytest.MonkeyPatch,
    output: str,
    killed_at: str,
) -> None:
    rows = write_rows(setup.folder, "parquet")
    with monkeypatch.context() as patch:
        _kill(patch, killed_at)
        with pytest.raises(Killed):
            setup.score(rows, output, keep=["id"])
    if output != "answers" and killed_at != "finish":
        assert not (setup.folder / output).exists()

    scored = setup.score(rows, output, keep=["id"])

    assert scored.resumed == {"output": 60, "log": 60, "progress": 60, "finish": N}[killed_at]
    whole = setup.read(output)
    assert whole["id"].to_pylist() == list(range(N))
    np.testing.assert_allclose(answers(whole), EXPECTED, atol=1e-5)
    assert setup.log.read().num_rows == N
    assert set(_ids(setup.log.read())) == set(_ids(whole))
    again = setup.score(rows, output, keep=["id"])
    assert not again.is_new
    assert setup.read(output).num_rows == setup.log.read().num_rows == N


def _kill(patch: pytest.MonkeyPatch, at: str) -> None:
    """End the process at the second part: after its rows, its records, or before it is noted."""
    calls = 0

    def dying(real: Callable[..., object], *, after: bool) -> Callable[..., object]:
        def call(*args: object, **kwargs: object) -> object:
            nonlocal calls
            calls += 1
            if calls < 2 and at != "finish":
                return real(*args, **kwargs)
            if after:
                real(*args, **kwargs)
            raise Killed

        return call

    sinks = scoring.outputs
    if at == "output":
        patch.setattr(sinks.FileOutput, "write", dying(sinks.FileOutput.write, after=True))
        patch.setattr(sinks.DeltaOutput, "write", dying(sinks.DeltaOutput.write, after=True))
    elif at == "log":
        patch.setattr(PredictionTable, "append", dying(PredictionTable.append, after=True))
    elif at == "progress":
        calls = -1
        folder = scoring.PartsFolder
        patch.setattr(folder, "save", dying(folder.save, after=False))
    else:
        patch.setattr(sinks, "join_rejected", dying(sinks.join_rejected, after=False))


def test_an_interrupted_run_is_continued_by_the_version_with_which_it_began(
    setup: Scoring, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(setup.folder, "parquet")
    with monkeypatch.context() as patch:
        _kill(patch, "log")
        with pytest.raises(Killed):
            setup.score(rows, "answers.parquet")
    newer = setup.publish(2)

    setup.score(rows, "answers.parquet")

    assert set(setup.read("answers.parquet")["version"].to_pylist()) == {bundles.version_name(1)}
    with pytest.raises(ConfigurationError, match=r"is there already, the answers of .*--overwrite"):
        setup.score(rows, "answers.parquet")
    assert setup.score(rows, "answers.parquet", overwrite=True).state.version == newer


def test_rows_that_do_not_fit_go_to_a_file_with_their_reasons(
    setup: Scoring, small_parts: None
) -> None:
    cells = [json.dumps(image.tolist()) for image in IMAGES[:5]]
    bad = ["", "[1, 2]", json.dumps((IMAGES[0].astype(int) + 1_000).tolist()), "seven"]
    lines = [f'{n},"{cell}"' for n, cell in enumerate([*cells, *bad])]
    lines.insert(2, '7,"[]",one too many')
    (setup.folder / "rows.csv").write_text("\n".join(["id,image", *lines]))

    scored = setup.score("rows.csv", "answers.csv", keep=["id"])

    assert (scored.state.read, scored.state.scored, scored.state.rejected) == (10, 5, 5)
    assert setup.read("answers.csv")["id"].to_pylist() == [0, 1, 2, 3, 4]
    rejected = pyarrow.csv.read_csv(setup.folder / "answers.rejected.csv").to_pydict()
    assert rejected["row"] == [3, 7, 8, 9, 10]
    for reason, words in zip(
        rejected["reason"],
        ["line 4", "no value", "28 x 28 values", "whole numbers of 0 to 255", "'seven'"],
        strict=True,
    ):
        assert words in reason


def test_an_input_without_rows_is_nothing_to_do(setup: Scoring) -> None:
    (setup.folder / "rows.csv").write_text("id,image\n")
    scored = setup.score("rows.csv", "answers.csv")
    assert scored.state.read == 0
    assert (setup.folder / "answers.csv").read_text().startswith('"id","image","request"')


def test_a_changed_input_is_another_run(setup: Scoring, small_parts: None) -> None:
    rows = write_rows(setup.folder, "parquet")
    setup.score(rows, "answers.parquet")
    write_rows(setup.folder, "parquet", IMAGES[:40])

    with pytest.raises(ConfigurationError, match="--overwrite"):
        setup.score(rows, "answers.parquet")
    assert setup.read("answers.parquet").num_rows == N
    setup.score(rows, "answers.parquet", overwrite=True)
    assert setup.read("answers.parquet").num_rows == 40


def test_a_table_takes_the_answers_of_several_inputs(setup: Scoring, small_parts: None) -> None:
    first = write_rows(setup.folder, "parquet")
    setup.score(first, "answers", keep=["id"])
    pq.write_table(table(IMAGES[:40]), setup.folder / "more.parquet")
    setup.score("more.parquet", "answers", keep=["id"])

    assert setup.read("answers").num_rows == N + 40
    with pytest.raises(BadFile, match="others, among them id int64"):
        setup.score(first, "answers", keep=[], overwrite=True)


@pytest.mark.parametrize("output", OUTPUTS)
def test_rows_that_are_unlike_the_learned_ones_say_so_there_and_in_the_log(
    setup: Scoring, small_parts: None, output: str
) -> None:
    images = IMAGES // 2
    images[[3, 61], 5, 5] = 255
    rows = write_rows(setup.folder, "parquet", images)
    setup.score(rows, "answers", keep=["id"])
    assert UNLIKE_TRAINING not in setup.read("answers").column_names
    setup.publish(2, policy=POLICY, novelty=DARK)

    setup.score(rows, output, keep=["id"], overwrite=True)

    # The table that a version without a rule began has both; its own rows have no value.
    scored = setup.read(output).to_pylist()
    reasons = {row["id"]: row[UNLIKE_TRAINING] for row in scored if row[UNLIKE_TRAINING]}
    assert reasons == dict.fromkeys((3, 61), "image: outside of 0 to 127, which was learned")
    assert len(scored) == (2 * N if output == "answers" else N)
    recorded = setup.log.read().to_pylist()
    assert sum(row[UNLIKE_TRAINING] is True for row in recorded) == 2


def test_a_version_without_a_rule_adds_to_a_table_that_has_flags(setup: Scoring) -> None:
    setup.publish(2, novelty=DARK)
    rows = write_rows(setup.folder, "parquet")
    setup.score(rows, "answers", keep=["id"])
    setup.publish(3)

    setup.score(rows, "answers", keep=["id"], overwrite=True)

    flags = [row[UNLIKE_TRAINING] for row in setup.read("answers").to_pylist()]
    assert len(flags) == 2 * N
    assert sum(each is not None for each in flags) == N


@pytest.mark.parametrize(
    ("rows", "output", "fields", "message"),
    [
        ("absent.parquet", "a.parquet", {}, "expected a file, found nothing"),
        ("absent", "a.parquet", {}, "expected a Delta table"),
        ("cut.parquet", "a.parquet", {}, "expected a whole Parquet file"),
        ("empty.csv", "a.csv", {}, "empty.csv"),
        ("other.csv", "a.csv", {}, r"no image \(is it images\?\) among id, images"),
        ("numbers.parquet", "a.csv", {}, "expected image as UINT8 .* found double"),
        ("rows.parquet", "rows.parquet", {}, "another name than the input's"),
        ("rows.parquet", "a.csv", {"keep": ["name"]}, "no name among id, image"),
        ("rows.parquet", "a.csv", {"outputs": ["price"]}, "no output price; expected some of"),
        ("own.parquet", "a.csv", {}, "found row; leave it out by --keep"),
    ],
)
def test_what_cannot_be_scored_is_refused_before_anything_is_written(
    setup: Scoring, rows: str, output: str, fields: dict[str, object], message: str
) -> None:
    write_rows(setup.folder, "parquet")
    whole = (setup.folder / "rows.parquet").read_bytes()
    (setup.folder / "cut.parquet").write_bytes(whole[: len(whole) // 2])
    (setup.folder / "empty.csv").write_text("")
    (setup.folder / "other.csv").write_text("id,images\n1,[1]\n")
    pq.write_table(pa.table({"image": [1.5]}), setup.folder / "numbers.parquet")
    own = table(IMAGES[:2]).append_column("row", pa.array([1, 2]))
    pq.write_table(own, setup.folder / "own.parquet")
    before = sorted(setup.folder.iterdir())

    with pytest.raises((BadFile, ConfigurationError), match=message):
        setup.score(rows, output, **fields)
    assert sorted(setup.folder.iterdir()) == before


@pytest.mark.parametrize("name", ["rows.json", "a.csv.gz", "", "ftp://host/rows.csv", "s3://rows"])
def test_a_place_of_another_kind_is_refused_by_name(name: str) -> None:
    with pytest.raises(BadFile, match="expected"):
        RowsPlace.parse(name, None, written=True)


def test_a_version_that_is_not_there_or_not_trusted_scores_nothing(setup: Scoring) -> None:
    rows = write_rows(setup.folder, "parquet")
    with pytest.raises(UnknownVersion):
        setup.score(rows, "a.csv", version=bundles.version_name(7))
    unsigned = bundles.publish_unsigned(setup.bucket, 3)
    with pytest.raises(UntrustedVersion):
        setup.score(rows, "a.csv", version=unsigned)


def test_without_a_champion_the_error_says_how_to_get_one(tmp_path: Path) -> None:
    setup = Scoring(tmp_path)
    with pytest.raises(ConfigurationError, match="no champion; `overnight retrain digits`"):
        setup.score(write_rows(tmp_path, "parquet"), "a.csv")


def test_an_output_that_cannot_be_written_says_so(setup: Scoring) -> None:
    (setup.folder / "file").write_text("")
    with pytest.raises(OSError, match="file"):
        setup.score(write_rows(setup.folder, "parquet"), "file/a.csv")


def test_a_log_that_cannot_be_reached_ends_the_run_and_the_next_one_completes_it(
    setup: Scoring, small_parts: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = write_rows(setup.folder, "parquet")

    def away(*_args: object, **_kwargs: object) -> None:
        raise StoreUnavailable("http://store", "it does not answer")

    with monkeypatch.context() as patch:
        patch.setattr(PredictionTable, "append", away)
        with pytest.raises(StoreUnavailable):
            setup.score(rows, "answers.parquet")
    setup.score(rows, "answers.parquet")
    assert setup.log.read().num_rows == setup.read("answers.parquet").num_rows == N


def _ids(rows: pa.Table) -> list[tuple[str, int]]:
    return list(zip(rows["request"].to_pylist(), rows["row"].to_pylist(), strict=True))
