"""Digits that are watched: a champion with a reference, and what hosts record of its answers."""

import json
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

import numpy as np
import pyarrow as pa

from overnight.models import digits
from overnight.models.definition import ModelDefinition
from overnight.models.digits.schema import examples
from overnight.models.examples import Examples
from overnight.models.reference import FILE, reference_of
from overnight.models.watching import Feedback, PredictionLog, Watching
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.predictions.records import AnsweredRequest, SentLabel
from overnight.store.predictions.segments import encode_answer, encode_label, segment_name
from overnight.store.registry.actor import Actor
from overnight.store.registry.promotions import Promotions
from tests.support.examples import FILES, manifest
from tests.support.genuine_digits import GenuineDigits
from tests.support.signing_keys import SIGNER, registry

HOST = "host-a"
CLASSES = 10


@dataclass(frozen=True)
class NearestMean:
    """A classifier that takes no training: the class whose mean picture is nearest."""

    means: np.ndarray

    @classmethod
    def of(cls, images: np.ndarray, labels: np.ndarray) -> "NearestMean":
        flat = images.reshape(len(images), -1).astype(np.float32) / 255
        return cls(np.stack([flat[labels == label].mean(axis=0) for label in range(CLASSES)]))

    def answer(self, images: np.ndarray) -> dict[str, np.ndarray]:
        flat = images.reshape(len(images), -1).astype(np.float32) / 255
        apart = ((flat[:, None] - self.means[None]) ** 2).sum(axis=-1)
        weights = np.exp(-(apart - apart.min(axis=1, keepdims=True)) / 2)
        return {
            "probabilities": (weights / weights.sum(axis=1, keepdims=True)).astype(np.float32),
            "seen": images,
        }


def rows_of(inputs, truths) -> pa.Table:
    """Rows as `digits.examples` reads them."""
    images = np.asarray(inputs["image"], np.uint8).reshape(len(inputs["image"]), -1)
    return pa.table(
        {
            "image": pa.array([image.tobytes() for image in images], pa.binary()),
            "label": pa.array(np.asarray(truths["probabilities"], np.int64)),
        }
    )


def watched(**fields: object) -> ModelDefinition:
    """Digits whose labels have slices, and that raise an alarm soon."""
    watching = Watching(
        log=PredictionLog(),
        feedback=Feedback(rows=rows_of),
        labels_per_false_alarm=10_000,
    )
    return replace(digits.DEFINITION, watching=replace(watching, **fields))  # type: ignore[arg-type]


def publish(
    bucket: Bucket,
    genuine: GenuineDigits,
    model: NearestMean,
    version: str,
    definition: ModelDefinition,
    **fields: object,
) -> str:
    """Publish a version with its reference, approve it, and make it champion."""
    holdout = examples(genuine.holdout)
    training = Examples({"image": genuine.images[:2_000]}, genuine.labels[:2_000])
    reference = reference_of(
        definition, version, training=training, holdout=holdout,
        outputs=model.answer(np.asarray(holdout.inputs["image"])),
    )  # fmt: skip
    files = {**FILES, FILE: reference.encoded()}
    made = manifest(files, version=version).model_copy(
        update={"tensors": digits.DEFINITION.tensors, **fields}
    )
    own = registry(bucket)
    own.publish(made, files, SIGNER)
    own.decisions.decide(version, "approved", Actor("gates"))
    Promotions(own).promote(version, expected=own.champion_version(), actor=Actor("gates", "new"))
    return version


def record(
    bucket: Bucket,
    version: str,
    model: NearestMean,
    images: np.ndarray,
    labels: np.ndarray | None,
    *,
    begin: datetime,
    seconds: float = 60.0,
    number: int = 0,
    incarnation: str = "",
    shadow: "tuple[str, NearestMean] | None" = None,
) -> Sequence[str]:
    """Ship one segment: a request for each picture, and half an hour later its label.

    `shadow` is a version that answered the same requests, and was seen by nobody.

    Returns the ids of the requests.
    """
    served = [(version, model, "champion")]
    served += [(*shadow, "shadow")] if shadow else []
    answers = [(name, route, each.answer(images)) for name, each, route in served]
    frames, requests = [], []
    for place, image in enumerate(images):
        request = uuid.uuid4().hex
        requests.append(request)
        at = begin + timedelta(seconds=seconds * place)
        for name, route, outputs in answers:
            frames.append(
                encode_answer(
                    AnsweredRequest(
                        request=request, caller="", at_us=_microseconds(at), model="digits",
                        version=name, route=route, client="", share=1.0, latency_us=900, n=1,
                        inputs={"image": image[None]}, digest="",
                        outputs={output: each[place][None] for output, each in outputs.items()},
                    )
                )
            )  # fmt: skip
        if labels is not None:
            frames.append(
                encode_label(
                    SentLabel(
                        request=request, caller="", row=0, model="digits", client="",
                        at_us=_microseconds(at + timedelta(minutes=30)), origin="api",
                        truth={"probabilities": str(labels[place])},
                    )
                )
            )  # fmt: skip
    name = segment_name(incarnation or uuid.uuid4().hex, number)
    bucket.create(keys.spool_segment("digits", HOST, name), b"".join(frames))
    return requests


def records_of(bucket: Bucket) -> list[dict[str, object]]:
    """The stored monitor records, oldest first."""
    names = [key for key in bucket.keys_below(keys.monitoring("digits")) if key.count("/") == 3]
    return [json.loads(bucket.read(key, 10_000_000)) for key in sorted(names)]


def _microseconds(at: datetime) -> int:
    return int(at.timestamp() * 1_000_000)
