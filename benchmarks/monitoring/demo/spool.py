"""What serving has shipped and no monitor run has collected yet."""

from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket
from overnight.store.predictions.records import AnsweredRequest
from overnight.store.predictions.segment_format import MAXIMUM_SEGMENT_BYTES
from overnight.store.predictions.segment_reader import decode


def waiting(bucket: Bucket, model: str) -> tuple[int, int]:
    """The numbers of answers and labels in the spool of a model."""
    records = [
        record
        for key in bucket.keys_below(keys.spool(model))
        for record in decode(bucket.read(key, MAXIMUM_SEGMENT_BYTES))
    ]
    answers = sum(isinstance(record, AnsweredRequest) for record in records)
    return answers, len(records) - answers
