"""Golden examples are read within a bound, and what is kept of them is small."""

import io
import tracemalloc
import zipfile

import numpy as np
import pytest

from overnight.serving.errors import UnfitVersion
from overnight.serving.inference.golden_examples import KEPT_ROWS, MAXIMUM_BYTES, read_golden
from overnight.serving.inference.loaded_version import load_version
from tests.support.serving import bundles

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
