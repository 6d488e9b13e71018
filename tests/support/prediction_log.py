"""Records of the prediction log, and segments of them in a spool."""

import dataclasses
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

import numpy as np

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.predictions.records import AnsweredRequest, Array, SentLabel
from overnight.store.predictions.segments import encode_answer, encode_label, segment_name
from overnight.store.predictions.tables import SegmentId

MODEL = "digits"
INCARNATION = "a" * 32
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
VERSION = "20261122T020000-0123456789ab"


def microseconds(at: datetime) -> int:
    return round(at.timestamp() * 1_000_000)


def answered(
    request: str,
    *,
    at: datetime = NOON,
    client: str = "",
    n: int = 1,
    inputs: Mapping[str, Array] | None = None,
    outputs: Mapping[str, Array] | None = None,
    **others: Any,
) -> AnsweredRequest:
    """An answer about n rows; by default of two numbers each, with one probability."""
    record = AnsweredRequest(
        request=request,
        caller="",
        at_us=microseconds(at),
        model=MODEL,
        version=VERSION,
        route="champion",
        client=client,
        share=1.0,
        latency_us=900,
        n=n,
        inputs={"x": np.ones((n, 2), np.float32)} if inputs is None else inputs,
        digest="",
        outputs={"p": np.full(n, 0.5, np.float32)} if outputs is None else outputs,
    )
    return dataclasses.replace(record, **others)


def sent(
    request: str, truth: str = "seven", *, at: datetime = NOON, client: str = "", **others: Any
) -> SentLabel:
    """The label of the first row of a request."""
    record = SentLabel(
        request=request,
        caller="",
        row=0,
        at_us=microseconds(at),
        model=MODEL,
        truth={"digit": truth},
        client=client,
        origin="api",
    )
    return dataclasses.replace(record, **others)


def segment(number: int, incarnation: str = INCARNATION) -> SegmentId:
    return SegmentId(incarnation, number)


def body(*records: AnsweredRequest | SentLabel) -> bytes:
    return b"".join(
        encode_label(each) if isinstance(each, SentLabel) else encode_answer(each)
        for each in records
    )


def ship(
    bucket: Bucket,
    number: int,
    *records: AnsweredRequest | SentLabel,
    incarnation: str = INCARNATION,
    host: str = "host-1",
) -> str:
    """Create a segment in the spool, as a host does, and return its key."""
    key = keys.spool_segment(MODEL, host, segment_name(incarnation, number))
    bucket.create(key, body(*records))
    return key
