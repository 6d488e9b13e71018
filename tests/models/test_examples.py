"""Examples are whole: every part of them has the same rows, and stays with its row."""

import numpy as np
import pytest

from overnight.models.examples import Examples
from overnight.store.errors import ConfigurationError
from overnight.tasks.training.examples_file import load, save

N = 6


def several() -> Examples:
    numbers = np.arange(N)
    return Examples(
        inputs={"x": numbers.astype(np.float32), "pair": np.column_stack([numbers, -numbers])},
        labels={"kind": numbers % 2, "price": numbers * 10.0},
        slices={"even": numbers % 2 == 0},
        weights=np.linspace(0, 1, N, dtype=np.float32),
        groups=np.array([f"customer {n // 2}" for n in numbers], object),
        times=np.array("2024-01-01", "datetime64[D]") + numbers,
    )


@pytest.mark.parametrize("rows", [np.array([4, 1]), np.array([0, 1, 0, 0, 1, 0], bool)])
def test_whatever_belongs_to_a_row_is_taken_with_it(rows):
    some = several().take(rows)

    places = np.arange(N)[rows]
    assert some.n == 2
    assert some.inputs["pair"].tolist() == [[n, -n] for n in places]
    assert some.labels_of("price").tolist() == [n * 10 for n in places]
    assert some.slices["even"].tolist() == [n % 2 == 0 for n in places]
    assert some.weights == pytest.approx(places / (N - 1))
    assert some.groups.tolist() == [f"customer {n // 2}" for n in places]
    assert some.times.tolist() == several().times[places].tolist()


def test_labels_of_the_only_output_need_no_name():
    one = Examples({"x": np.zeros(2)}, np.array([1, 2]))

    assert one.labels_of("anything") is one.labels
    assert Examples({}, {"y": np.array([3])}).labels_of().tolist() == [3]


def test_labels_of_an_output_without_any_are_refused_with_the_outputs_that_have_some():
    with pytest.raises(ConfigurationError, match=r"kind, price, and none of 'embedding'; name one"):
        several().labels_of("embedding")


@pytest.mark.parametrize(
    ("part", "value", "named"),
    [
        ("weights", np.ones(5, np.float32), "weights"),
        ("groups", np.zeros(7), "groups"),
        ("slices", {"few": np.ones(2, bool)}, "the slice few"),
        ("labels", {"a": np.zeros(N), "b": np.zeros(5)}, "the labels of b"),
    ],
)
def test_a_part_of_other_rows_is_refused_by_name(part, value, named):
    parts = {"inputs": {"x": np.zeros(N)}, "labels": np.zeros(N)} | {part: value}

    with pytest.raises(ConfigurationError, match=f"{named} has .* rows, expected 6"):
        Examples(**parts)


def test_a_training_process_reads_the_examples_that_were_written_for_it(tmp_path):
    save(tmp_path / "training.npz", several())

    read = load(tmp_path / "training.npz")

    assert read.n == N
    assert {name: array.tolist() for name, array in read.labels.items()} == {
        "kind": [0, 1, 0, 1, 0, 1],
        "price": [0, 10, 20, 30, 40, 50],
    }
    assert read.inputs["pair"].tolist() == several().inputs["pair"].tolist()
    assert read.weights.tolist() == several().weights.tolist()
    # Which rows are of one group, and no text, because a text in an npz would be a pickle.
    assert read.groups.tolist() == [0, 0, 1, 1, 2, 2]
    assert read.times.tolist() == several().times.tolist()


def test_examples_of_one_output_are_written_as_earlier_workers_read_them(tmp_path):
    save(tmp_path / "training.npz", Examples({"x": np.zeros(2)}, np.array([1, 0])))

    with np.load(tmp_path / "training.npz") as arrays:
        assert sorted(arrays.files) == ["input.x", "labels"]
    assert load(tmp_path / "training.npz").labels.tolist() == [1, 0]
