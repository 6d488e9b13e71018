"""Segments of the prediction log: every record comes back, and nothing that is torn or altered."""

import json
import struct
import tracemalloc
import zlib
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from overnight.store.errors import BadKey
from overnight.store.predictions import segment_format, segments
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segment_reader import SegmentReader, decode
from overnight.store.predictions.segments import (
    BadRecord,
    encode_answer,
    encode_answers,
    encode_label,
    encode_labels,
    parse_segment_name,
    segment_name,
)

TYPES = ("bool", "uint8", "int8", "int32", "int64", "float32", "float64")
ANSWER = AnsweredRequest(
    request="r-1",
    caller="order 7",
    at_us=1_796_000_000_000_001,
    model="digits",
    version="20261122T020000-0123456789ab",
    route="champion",
    client="acme",
    share=0.5,
    latency_us=812,
    n=2,
    inputs={"image": np.arange(2 * 3, dtype=np.uint8).reshape(2, 3)},
    digest="",
    outputs={"probabilities": np.array([[0.25, 0.75], [1, 0]], np.float32)},
)
LABEL = SentLabel(
    request="r-1",
    caller="",
    row=1,
    at_us=1_796_000_000_000_002,
    model="digits",
    truth={"probabilities": "7", "size": 1.5, "curve": [[1, 2], [3, 4]]},
    client="acme",
    origin="api",
    authenticated=True,
)


def read(segment: bytes) -> tuple[list[Any], SegmentReader]:
    reader = decode(segment)
    return list(reader), reader


def same(left: AnsweredRequest, right: AnsweredRequest) -> bool:
    """Whether two records are equal, their arrays in type, shape and every value."""
    for one, other in ((left.inputs, right.inputs), (left.outputs, right.outputs)):
        assert one.keys() == other.keys()
        for name, rows in one.items():
            assert rows.dtype == other[name].dtype
            assert rows.shape == other[name].shape
            for value, expected in zip(rows.tolist(), other[name].tolist(), strict=True):
                np.testing.assert_array_equal(value, expected)
    return replace(left, inputs={}, outputs={}) == replace(right, inputs={}, outputs={})


def arrays(n: int) -> st.SearchStrategy[np.ndarray[Any, Any]]:
    """Arrays [n, …] of any type that a tensor has, with any of its values."""
    shapes = npst.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3)
    numbers = st.sampled_from(TYPES).flatmap(
        lambda kind: shapes.flatmap(lambda shape: npst.arrays(kind, (n, *shape)))
    )
    texts = shapes.flatmap(
        lambda shape: npst.arrays(
            object,
            (n, *shape),
            elements=st.none() | st.text(st.characters(exclude_categories=()), max_size=5),
            fill=st.nothing(),
        )
    )
    return numbers | texts | varying(n)


@st.composite
def varying(draw: st.DrawFn, n: int) -> np.ndarray[Any, Any]:
    """Rows of varying length, of which one may be missing."""
    kind = draw(st.sampled_from(TYPES))
    rows = np.empty(n, object)
    for place in range(n):
        length = draw(st.none() | st.integers(0, 4))
        if length is not None:
            rows[place] = draw(npst.arrays(kind, (length, 2)))
    return rows


@st.composite
def answers(draw: st.DrawFn) -> AnsweredRequest:
    n = draw(st.integers(1, 4))
    names = st.text(max_size=3)
    return replace(
        ANSWER,
        n=n,
        request=draw(st.text(max_size=8)),
        caller=draw(st.text(max_size=8)),
        route=draw(st.sampled_from(["champion", "canary", "named", "earlier", "shadow"])),
        share=draw(st.floats(0.001, 1)),
        inputs=draw(st.dictionaries(names, arrays(n), max_size=3)),
        outputs=draw(st.dictionaries(names, arrays(n), max_size=2)),
    )


@given(st.lists(answers(), max_size=3))
@settings(max_examples=60, deadline=None)
def test_every_answer_comes_back_as_it_was_recorded(records: list[AnsweredRequest]) -> None:
    found, reader = read(b"".join(map(encode_answer, records)))

    assert len(found) == len(records)
    assert all(map(same, found, records))
    assert (reader.torn_bytes, reader.damaged_frames, reader.problem) == (0, 0, "")


def test_labels_come_back_among_answers_in_the_order_of_writing() -> None:
    segment = encode_answer(ANSWER) + encode_labels([LABEL, LABEL]) + encode_label(LABEL)

    found, _ = read(segment)

    assert same(found[0], ANSWER)
    assert found[1:] == [LABEL] * 3


def test_a_batch_is_one_frame_and_as_many_records() -> None:
    batch = segments.AnsweredBatch(
        model="digits",
        version="v",
        share=1.0,
        columns=segment_format.AnswerColumns(
            requests=["a", "b"],
            callers=["", "x"],
            at_us=[1, 2],
            routes=["champion", "shadow"],
            clients=["c", "c"],
            latency_us=[5, 6],
            counts=[2, 1],
            digests=["", "ff"],
        ),
        inputs={"x": [np.ones((2, 2), np.int32), np.zeros((1, 2), np.int32)]},
        outputs={"y": [np.array([1.5, 2.5]), np.array([3.5])]},
    )

    first, second = read(encode_answers(batch))[0]

    assert (first.request, first.n, second.request, second.route) == ("a", 2, "b", "shadow")
    assert (first.client, first.at_us, second.client, second.latency_us) == ("c", 1, "c", 6)
    assert (first.caller, second.caller, second.digest) == ("", "x", "ff")
    np.testing.assert_array_equal(first.inputs["x"], np.ones((2, 2)))
    np.testing.assert_array_equal(second.outputs["y"], [3.5])


def test_arrays_come_back_aligned_and_in_the_order_of_the_machine() -> None:
    record = replace(
        ANSWER, inputs={"x": np.array([1, 2], ">i4"), "y": np.asfortranarray(np.eye(2))}
    )

    (found,) = read(encode_answer(record))[0]

    assert found.inputs["x"].tolist() == [1, 2]
    assert found.inputs["y"].tolist() == [[1, 0], [0, 1]]
    assert all(rows.flags.aligned and rows.dtype.isnative for rows in found.inputs.values())


def test_a_segment_that_is_torn_at_any_byte_loses_only_the_frame_there() -> None:
    frames = [encode_answer(ANSWER), encode_label(LABEL), encode_answer(ANSWER)]
    segment, ends = b"".join(frames), np.cumsum([0, *map(len, frames)])

    for length in range(len(segment)):
        found, reader = read(segment[:length])
        whole = int(np.searchsorted(ends, length, side="right")) - 1
        assert len(found) == whole
        assert reader.torn_bytes == length - ends[whole]
        assert bool(reader.problem) == bool(reader.torn_bytes)
        assert reader.damaged_frames == 0


def test_a_flipped_byte_is_noticed_wherever_it_is_and_costs_no_frame_before_it() -> None:
    frames = [encode_answer(ANSWER), encode_label(LABEL), encode_answer(ANSWER)]
    segment = b"".join(frames)
    begins, ends = len(frames[0]), len(frames[0]) + len(frames[1])

    for place in range(begins, ends):
        altered = bytearray(segment)
        altered[place] ^= 0x41
        found, reader = read(bytes(altered))
        in_body = place >= begins + 16
        assert len(found) == (2 if in_body else 1)
        assert reader.damaged_frames == in_body
        assert reader.torn_bytes == (0 if in_body else len(segment) - begins)
        assert f"byte {begins}" in reader.problem


@given(st.binary(max_size=200))
@settings(max_examples=150, deadline=None)
def test_no_bytes_at_all_break_the_reader(noise: bytes) -> None:
    found, reader = read(encode_label(LABEL) + noise)

    assert found == [LABEL]
    assert bool(reader.problem) == bool(noise)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)


def framed(header: bytes, values: bytes = b"") -> bytes:
    """A frame with right checksums, whatever is in it."""
    body = struct.pack("<I", len(header)) + header + values
    checked = struct.pack("<4sII", b"ovn1", len(body), zlib.crc32(body))
    return checked + struct.pack("<I", zlib.crc32(checked)) + body


@given(
    st.fixed_dictionaries(
        {"kind": st.sampled_from(["answers", "labels", "other"])},
        optional=dict.fromkeys(
            ("model", "version", "share", "requests", "counts", "inputs", "labels"), JSON
        ),
    )
)
@settings(max_examples=60, deadline=None)
def test_a_header_of_anything_is_a_damaged_frame(header: dict[str, Any]) -> None:
    segment = framed(json.dumps(header).encode()) + encode_label(LABEL)

    found, reader = read(segment)

    # A frame of no labels is a valid one, and what follows is read in any case.
    assert found[-1] == LABEL
    assert reader.damaged_frames == (header.get("labels") != [] or header["kind"] != "labels")


def header_of(**changed: Any) -> dict[str, Any]:
    columns = {"requests": ["r"], "callers": "", "routes": "champion", "clients": [""]}
    columns |= {"counts": 2, "digests": ""}
    tensors = {"inputs": [{"name": "x", "type": "uint8", "shape": [2]}], "outputs": []}
    base = {"kind": "answers", "model": "m", "version": "v", "share": 1.0}
    return base | columns | tensors | changed


@pytest.mark.parametrize(
    "changed",
    [
        {"routes": "back door"},
        {"routes": ["champion", "champion"]},
        {"routes": []},
        {"routes": [["champion"]]},
        {"counts": -2},
        {"counts": 2**40},
        {"counts": True},
        {"counts": [2, 2]},
        {"counts": None},
        {"requests": "r"},
        {"requests": ["r", "s"]},
        {"requests": []},
        {"requests": [7]},
        {"callers": 7},
        {"clients": ["", ""]},
        {"digests": [None]},
        {"share": 0},
        {"share": float("nan")},
        {"inputs": [{"name": "x", "type": "object", "shape": [2]}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [-1, -2]}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [3]}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [1]}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [2**31, 2**31, 0]}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [0] * 40}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": "22"}]},
        {"inputs": [{"name": "x", "type": "uint8", "shape": [2]}] * 2},
        {"inputs": [{"name": "x", "type": "text", "shape": [2], "texts": ["a"] * 3}]},
        {"inputs": [{"name": "x", "type": "text", "shape": [1], "texts": ["a", 5]}]},
        {"inputs": [{"name": "x", "type": "lists", "of": "uint8", "shapes": [[2]]}]},
        {"inputs": [{"name": "x", "type": "lists", "of": "uint8", "shapes": [[2], [3]]}]},
    ],
)
def test_an_answer_that_contradicts_itself_is_damaged(changed: dict[str, Any]) -> None:
    # Two times, and the four values of a tensor.
    assert len(read(framed(json.dumps(header_of()).encode(), bytes(16 + 4)))[0]) == 1

    found, reader = read(framed(json.dumps(header_of(**changed)).encode(), bytes(16 + 4)))

    assert found == []
    assert (reader.damaged_frames, reader.torn_bytes) == (1, 0)


@pytest.mark.parametrize(
    "segment",
    [
        framed(b"[" * 1_000_000),
        framed(b'{"kind": "labels", "labels": [' + b"[],"[:2] * 8_000_000 + b"]}"),
        # A length that is more than there is, in a preamble whose checksum is right.
        struct.pack("<4sII", b"ovn1", 2**32 - 1, 0)
        + struct.pack("<I", zlib.crc32(struct.pack("<4sII", b"ovn1", 2**32 - 1, 0))),
    ],
    ids=["depth", "length of header", "length"],
)
def test_a_hostile_segment_takes_no_memory_beyond_its_own(segment: bytes) -> None:
    tracemalloc.start()
    try:
        found, reader = read(segment)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()

    assert found == []
    assert reader.problem
    assert peak < 2 * len(segment) + 1_000_000


def test_what_cannot_be_recorded_says_why() -> None:
    complex_ = replace(ANSWER, outputs={"y": np.zeros(2, np.complex128)})
    mixed = replace(ANSWER, inputs={"x": np.array([object(), "a"], object)})
    large = replace(ANSWER, inputs={"x": np.zeros((2, 20_000_000), np.uint8)})
    wordy = replace(ANSWER, inputs={"x": np.array(["a" * 5_000_000] * 2, object)})

    for record, why in (
        (complex_, "'y'.*complex128"),
        (mixed, "'x'.*texts"),
        (large, "32,000,000"),
        (wordy, "8,000,000"),
    ):
        with pytest.raises(BadRecord, match=why):
            encode_answer(record)


def test_names_of_segments_are_read_as_they_are_written() -> None:
    assert parse_segment_name(segment_name("0f" * 16, 12)) == ("0f" * 16, 12)
    for incarnation, number in (("short", 1), ("0F" * 16, 1), ("0f" * 16, 10**8)):
        with pytest.raises(BadKey):
            segment_name(incarnation, number)
    for name in ("manifest.json", f"{'0f' * 16}-1.log", f"{'0f' * 16}-00000001.log.open"):
        with pytest.raises(BadKey):
            parse_segment_name(name)
