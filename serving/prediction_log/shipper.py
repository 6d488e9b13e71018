"""Ships closed segments of a host to the store, from the oldest on; only the leader does.

All its logic is in `tick`.
"""

import logging
from collections import Counter
from contextlib import suppress
from pathlib import Path

from overnight.serving.prediction_log.segment_files import close_abandoned, closed_segments
from overnight.serving.telemetry.metrics import ShippedSegments
from overnight.store.errors import AlreadyExists, StoreError
from overnight.store.objects import keys
from overnight.store.objects.bucket import Bucket

logger = logging.getLogger(__name__)

TICK_SECONDS = 1.0
RETRY_SECONDS = 5.0


class SegmentShipper:
    """The shipping thread of a host's leader."""

    def __init__(self, folder: Path, bucket: Bucket, *, replica: str) -> None:
        self._folder, self._bucket, self._replica = folder, bucket, replica
        self._shipped: Counter[str] = Counter()
        self._is_failing = False

    def tick(self) -> float:
        """Ship every closed segment. Returns seconds to rest."""
        try:
            for folder in sorted(self._folder.glob("*")):
                if keys.is_model(folder.name):
                    self._ship_all(folder)
        except (StoreError, OSError) as error:
            # Once: they stay here and are tried again, which is no matter of each try.
            if not self._is_failing:
                logger.warning("segments of the prediction log stay on this host: %s", error)
            self._is_failing = True
            return RETRY_SECONDS
        self._is_failing = False
        return TICK_SECONDS

    def shipped(self) -> tuple[ShippedSegments, ...]:
        """How many segments this worker shipped, by model."""
        return tuple(
            ShippedSegments(model=model, segments=segments)
            for model, segments in dict(self._shipped).items()
        )

    def _ship_all(self, folder: Path) -> None:
        """Ship the segments of one model.

        In the order of their numbers, and none after one that failed: a reader that knows up to
        which number of a worker it has read misses none.
        """
        close_abandoned(folder)
        for path in closed_segments(folder):
            body = path.read_bytes()
            if body:
                key = keys.spool_segment(folder.name, self._replica, path.name)
                # What is there is this very segment: nobody else uses its name.
                with suppress(AlreadyExists):
                    self._bucket.create(key, body)
                self._shipped[folder.name] += 1
            path.unlink(missing_ok=True)
