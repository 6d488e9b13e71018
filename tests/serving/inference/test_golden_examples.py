"""Golden examples are read within a bound, and what is kept of them is small."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.golden_examples import (
    KEPT_ROWS,
    MAXIMUM_BYTES,
    MAXIMUM_OBJECTS,
    read_golden,
)
from overnight.serving.inference.loaded_version import load_version
from overnight.store.input_encodings import Missing
from overnight.store.schema import Schema, TensorSpec
from tests.support.serving import bundles, published

ROW_BYTES = 28 * 28


def _npz(**arrays: np.ndarray) -> bytes:
    body = io.BytesIO()
    names = {name.replace("_", ".", 1): array for name, array in arrays.items()}
    np.savez_compressed(body, **names)
    return body.getvalue()


def _manifest():
    return bundles.manifest(1, bundles.files(1))


def _peak_bytes(golden: bytes) -> int:
    tracemalloc.start()
    try:
        with pytest.raises(UnfitVersion, match="at most"):
            read_golden(_manifest(), golden)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_examples_that_unpack_to_more_than_their_bound_are_refused_before_they_are_unpacked():
    # Given a file of a few hundred kilobytes that unpacks to more than the bound.
    rows = MAXIMUM_BYTES // ROW_BYTES + 1
    golden = _npz(
        input_image=np.zeros((rows, 28, 28), np.uint8),
        output_probabilities=np.zeros((1, 10), np.float32),
    )
    assert len(golden) < 1_000_000

    assert _peak_bytes(golden) < 4_000_000


def test_arrays_that_the_manifest_does_not_declare_are_not_unpacked():
    # Given an undeclared array, whose contents no header announces truly.
    golden = io.BytesIO(bundles.golden(1))
    with zipfile.ZipFile(golden, "a", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("padding.npy", b"no array")

    arrays = read_golden(_manifest(), golden.getvalue())

    assert set(arrays) == {"input.image", "output.probabilities"}


def test_a_header_with_a_negative_length_does_not_make_room_for_another_array():
    golden = io.BytesIO()
    header = b"{'descr': '|u1', 'fortran_order': False, 'shape': (-1000000000000,), }"
    with zipfile.ZipFile(golden, "w") as archive:
        body = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header
        archive.writestr("input.image.npy", body)
        archive.writestr("output.probabilities.npy", body)

    with pytest.raises(UnfitVersion, match="not a set of golden examples"):
        read_golden(_manifest(), golden.getvalue())


def test_a_loaded_version_keeps_the_first_examples_and_frees_the_others():
    images = np.repeat(bundles.IMAGES, 20, axis=0)
    files = bundles.files(1) | {"golden.npz": bundles.golden(1, images=images)}

    predictor = load_version(bundles.manifest(1, files), files, threads=1)

    kept = predictor.examples["image"]
    assert np.array_equal(kept, images[:KEPT_ROWS])
    assert kept.base is None


WORDS = np.array(["red", "blau grün", None], object)
CLICKS = np.empty(3, object)
CLICKS[:] = [np.array([1.0]), np.array([2.0, 3.0]), np.zeros(0)]
# A text that may be missing, beside the other inputs of `published`; the weight has its default.
TITLE = published.TITLE.model_copy(update={"missing": Missing(value="green")})
TENSORS = published.TENSORS.with_inputs({"title": TITLE})
ANSWERS = np.array(
    [[2, 1, 0, 0, 1, 2, 3], [5, 2, 0, 1, 5, 2, 3], [3, 7.5, 1, 2, 0, 2, 3]], np.float32
)


def _published_golden(answers: np.ndarray) -> bytes:
    prices, shops = np.array([1, 2, np.nan], np.float32), np.array([0, 1, 2], np.int32)
    return published.golden(answers, title=WORDS, price=prices, shop=shops, clicks=CLICKS)


def _loaded(golden: bytes):
    files = published.files(golden)
    return load_version(bundles.manifest(1, files, tensors=TENSORS), files, threads=1)


def test_published_values_are_repeated_as_they_were_answered_in_training():
    predictor = _loaded(_published_golden(ANSWERS))

    assert predictor.examples["title"].tolist() == WORDS.tolist()
    assert "weight" not in predictor.examples


def test_a_version_that_encodes_published_values_otherwise_is_refused():
    otherwise = ANSWERS.copy()
    otherwise[1, 0] = 9

    with pytest.raises(UnfitVersion, match="1 of 3 golden examples differ"):
        _loaded(_published_golden(otherwise))


def test_more_objects_than_examples_have_are_refused_before_they_are_made():
    lengths = np.full(MAXIMUM_OBJECTS + 1, -1, np.int64)
    golden = io.BytesIO()
    np.savez_compressed(
        golden,
        **{
            "input.title@utf8": np.zeros(0, np.uint8),
            "input.title@lengths": lengths,
            "input.price": np.zeros(1, np.float32),
            "input.shop": np.zeros(1, np.int32),
            "input.clicks": np.zeros((1, 2), np.float32),
            "output.sent": ANSWERS[:1],
        },
    )

    with pytest.raises(UnfitVersion, match="it has 100001 texts or lists, at most 100000"):
        _loaded(golden.getvalue())


def test_examples_without_an_input_that_has_no_default_are_refused():
    golden = published.golden(ANSWERS[:1], title=WORDS[:1])

    with pytest.raises(UnfitVersion, match=r"not a set of golden examples: 'input\.price'"):
        _loaded(golden)


def test_names_of_categories_are_encoded_though_no_other_input_is():
    # Given a version that takes what its network takes, but for the names of shops.
    plain = {"minimum": None, "maximum": None}
    specs = (
        TensorSpec(name="title", datatype="INT32", shape=(4,)),
        published.PRICE.model_copy(update=plain | {"missing": None}),
        TensorSpec(name="price_missing", datatype="UINT8", shape=()),
        published.SHOP.model_copy(update={"missing": None}),
        published.CLICKS.model_copy(update={"lengths": ()}),
        TensorSpec(name="clicks_length", datatype="INT32", shape=()),
        published.WEIGHT,
    )
    tensors = Schema(inputs=specs, outputs=published.TENSORS.outputs)
    assert not tensors.is_encoded
    inputs = {
        "title": np.zeros((3, 4), np.int32),
        "price": np.zeros(3, np.float32),
        "price_missing": np.zeros(3, np.uint8),
        "shop": np.array(["south", "a new one", "north"], object),
        "clicks": np.zeros((3, 6), np.float32),
        "clicks_length": np.full(3, 6, np.int32),
    }
    answers = np.array([[0, 0, 0, shop, 0, 6, 3] for shop in (2, 0, 1)], np.float32)

    def loaded(expected: np.ndarray):
        files = published.files(published.golden(expected, **inputs))
        return load_version(bundles.manifest(1, files, tensors=tensors), files, threads=1)

    # `loaded` compares the answers, of which the fourth number is that of the shop.
    assert len(loaded(answers).examples["shop"]) == 3
    with pytest.raises(UnfitVersion, match="3 of 3 golden examples differ"):
        loaded(np.roll(answers, 1, axis=0))
