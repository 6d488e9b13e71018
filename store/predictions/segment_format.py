"""Segments of the prediction log: frames of records, one after the other, in one file or object.

A frame is 16 bytes (magic, length of the body, crc32 of the body, crc32 of the 12 bytes before it;
little-endian) and its body: the length of a header in 4 bytes, the header as JSON, and the raw
values of its arrays. A frame of labels has labels. One of answers has those of any number of
requests to one version, by columns, because those are written for all requests at once: texts and
numbers of rows in the header, where a column that is the same for all requests is that one value;
then the times as two arrays of int64; then each tensor, concatenated along the rows.

A process that writes may die at any byte, so the end of a segment may be torn: it is counted, and
not decoded.
"""

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from overnight.store.schema import NUMPY_TYPES

# Longer bodies are neither written nor read. A segment is closed once it is longer than it should
# be by at most one frame.
MAXIMUM_FRAME_BYTES = 32_000_000
# JSON takes up to twenty times its length once it is parsed.
MAXIMUM_HEADER_BYTES = 8_000_000
SEGMENT_BYTES = 8_000_000
MAXIMUM_SEGMENT_BYTES = SEGMENT_BYTES + MAXIMUM_FRAME_BYTES
MAXIMUM_ROWS = 1_048_576
MAXIMUM_AXES = 32
MAGIC = b"ovn1"
PREAMBLE = struct.Struct("<4sIII")
CHECKED = struct.Struct("<4sII")
LENGTH = struct.Struct("<I")
INT64 = np.dtype("<i8")
NUMBER_TYPES = {name: np.dtype(name) for name in NUMPY_TYPES.values() if name != "object"}
# Types of tensors that are no numbers.
TEXT, LISTS = "text", "lists"


@dataclass(frozen=True)
class AnswerColumns:
    """What a frame has of its requests besides their tensors: a value of each for each request.

    `at_us` and `latency_us` are arrays of int64, or what such an array can be made of.
    """

    requests: Sequence[str]
    callers: Sequence[str]
    at_us: Any
    routes: Sequence[str]
    clients: Sequence[str]
    latency_us: Any
    counts: Sequence[int]
    digests: Sequence[str]
