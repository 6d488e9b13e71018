"""Turns queued answers of any kind into frames of segments.

Those of one row with tensors of fixed types and shapes, which most are, are collected by
`open_batches.py` instead.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import orjson

from overnight.serving.inference.runtime import Array
from overnight.serving.prediction_log.recording import QueuedAnswer
from overnight.store.predictions.records import client_digest
from overnight.store.predictions.segment_format import AnswerColumns
from overnight.store.predictions.segments import (
    AnsweredBatch,
    BadRecord,
    Buffer,
    encode_answers,
    inputs_digest,
)
from overnight.store.registry.manifest import LogPolicy

# A frame is encoded while the interpreter lock is held, which requests wait for: 0.2 ms.
BATCH = 64
BATCH_BYTES = 1_000_000
_KNOWN_CLIENTS = 4_096

_client_digest = lru_cache(_KNOWN_CLIENTS)(client_digest)


@dataclass(frozen=True)
class Frame:
    """Answers of one model as a frame in parts; None where they cannot be encoded."""

    model: str
    answers: int
    parts: Sequence[Buffer] | None


def frames(queued: Iterable[QueuedAnswer]) -> Iterator[Frame]:
    """The frames of answers whose versions have a policy."""
    groups: dict[tuple[object, ...], list[QueuedAnswer]] = {}
    for answer in queued:
        # Flat, and of what is quick to hash: this is done for every request.
        kind: list[object] = [id(answer[0])]
        for name, rows in answer[7].items():
            kind += name, rows.dtype.num, rows.shape[1:]
        kind.append(None)
        for name, rows in answer[8].items():
            kind += name, rows.dtype.num, rows.shape[1:]
        key = tuple(kind)
        group = groups.get(key)
        if group is None:
            groups[key] = [answer]
        else:
            group.append(answer)
    for group in groups.values():
        for batch in _limited(group):
            yield from _encoded(batch)


def size_of(arrays: Iterable[Array]) -> int:
    """The memory of arrays; of texts and rows of varying length, that of the objects as well."""
    size = 0
    for rows in arrays:
        size += rows.nbytes
        if rows.dtype.kind == "O":
            size += sum(map(_size_of_object, rows.reshape(-1).tolist()))
    return size


def _size_of_object(value: Any) -> int:
    # What Python adds to the characters of a text, or numpy to the values of an array.
    return 100 + (4 * len(value) if isinstance(value, str) else getattr(value, "nbytes", 0))


def _limited(group: Sequence[QueuedAnswer]) -> Iterator[Sequence[QueuedAnswer]]:
    """Batches of a group, by number and by bytes."""
    first, size = 0, 0
    for place, answer in enumerate(group):
        own = answer[9]
        if place - first == BATCH or (size + own > BATCH_BYTES and place > first):
            yield group[first:place]
            first, size = place, 0
        size += own
    yield group[first:]


def _encoded(batch: Sequence[QueuedAnswer]) -> Iterator[Frame]:
    """A batch as a frame; one that cannot be encoded, an answer at a time."""
    manifest = batch[0][0]
    policy = manifest.logged
    if policy is None:
        return
    try:
        body = encode_answers(_batch(batch, policy), dumps=dumps)
    # Also whatever an array of objects may have in it: this thread has to go through all the rest.
    except Exception:  # noqa: BLE001
        if len(batch) == 1:
            yield Frame(manifest.model, 1, None)
            return
        for answer in batch:
            yield from _encoded((answer,))
        return
    yield Frame(manifest.model, len(batch), (body,))


def _batch(batch: Sequence[QueuedAnswer], policy: LogPolicy) -> AnsweredBatch:
    manifest, inputs, outputs = batch[0][0], batch[0][7], batch[0][8]
    has_values, has_digest = policy.inputs == "values", policy.inputs == "digest"
    first = next(iter(outputs))
    _, requests, callers, clients, routes, at, seconds, *_ = zip(*batch, strict=True)
    columns = AnswerColumns(
        requests=requests,
        callers=callers,
        at_us=microseconds(at),
        routes=routes,
        clients=recorded_clients(manifest.model, clients, policy),
        latency_us=microseconds(seconds),
        counts=[len(answer[8][first]) for answer in batch],
        digests=[inputs_digest(answer[7]) if has_digest and answer[7] else "" for answer in batch],
    )
    return AnsweredBatch(
        model=manifest.model,
        version=manifest.version,
        share=policy.share,
        columns=columns,
        inputs={name: [answer[7][name] for answer in batch] for name in inputs if has_values},
        outputs={name: [answer[8][name] for answer in batch] for name in outputs},
    )


def microseconds(seconds: Sequence[float]) -> Array:
    """Times in whole microseconds, int64."""
    return (np.array(seconds) * 1e6).astype(np.int64)


def recorded_clients(model: str, clients: Sequence[str], policy: LogPolicy) -> Sequence[str]:
    """The keys of clients as a policy has them recorded."""
    if policy.clients == "none":
        return [""] * len(clients)
    if policy.clients == "key":
        return clients
    known = {client: _client_digest(model, client) if client else "" for client in set(clients)}
    return [known[client] for client in clients]


def dumps(value: object) -> bytes:
    """A header as JSON.

    Raises:
        BadRecord: half a surrogate pair, which JSON may escape and UTF-8 cannot have.
    """
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise BadRecord("texts", expected="UTF-8", actual=f"{error}") from None
