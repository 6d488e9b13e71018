"""Source of digits: MNIST, replayed in deliveries, and files that are ingested by hand."""

import itertools
from collections.abc import Collection, Mapping
from functools import cached_property

import numpy as np
import pyarrow as pa

from overnight.models.definition import Delivery, Places, Reading
from overnight.models.digits import idx, mnist_files
from overnight.models.digits.files import read_files
from overnight.models.digits.rows import as_rows, checked

FIRST_DELIVERY_ROWS = 50_000
DELIVERY_ROWS = 1_000
TOTAL_ROWS = 60_000


class DigitsSource:
    """The training images in their original order: 50,000 at first, then 1,000 a delivery.

    Nothing is downloaded before it is needed.
    """

    def __init__(self, places: Places) -> None:
        self._places = places

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The first delivery not made yet, as IDX files; None after the last."""
        starts = (0, *range(FIRST_DELIVERY_ROWS, TOTAL_ROWS, DELIVERY_ROWS), TOTAL_ROWS)
        for number, (start, end) in enumerate(itertools.pairwise(starts)):
            # Stored arrivals have these names: another form would deliver all rows again.
            name = f"night-{number:04d}"
            if name not in delivered:
                return Delivery(name, self._delivery_files(start, end))
        return None

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Digits from IDX, CSV, Parquet, .npz, or PNG in folders by label."""
        return read_files(files)

    def holdout(self) -> pa.Table:
        """The 10,000 test images, with their `position` in the official file."""
        images = self._array(mnist_files.TEST_IMAGES, idx.IMAGES)
        labels = self._array(mnist_files.TEST_LABELS, idx.LABELS)
        rows = as_rows(checked(mnist_files.TEST_LABELS, images, labels))
        return rows.append_column("position", pa.array(range(len(labels)), pa.int32()))

    @cached_property
    def _files(self) -> Mapping[str, bytes]:
        return mnist_files.official_files(self._places)

    def _array(self, name: str, magic: int) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        return idx.decode(name, self._files[name], magic)

    def _delivery_files(self, start: int, end: int) -> Mapping[str, bytes]:
        images = self._array(mnist_files.TRAIN_IMAGES, idx.IMAGES)[start:end]
        labels = self._array(mnist_files.TRAIN_LABELS, idx.LABELS)[start:end]
        return {
            f"{mnist_files.TRAIN_IMAGES}.gz": idx.compress(idx.encode(images)),
            f"{mnist_files.TRAIN_LABELS}.gz": idx.compress(idx.encode(labels)),
        }
