"""The genuine digits: files of some to land, and a holdout small enough to be quick."""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from overnight.models.definition import Places
from overnight.models.digits import idx, mnist_files
from overnight.models.digits.source import DigitsSource
from overnight.store.datasets.delta_table import Dataset
from overnight.tasks.data.ingest import HOLDOUT

# Of 10,000: enough for every digit and both groups of writers, at a twentieth of the time.
_HOLDOUT_EACH = 20


@dataclass(frozen=True)
class GenuineDigits:
    """The training images of MNIST, and its test set, whole and every twentieth row of it."""

    images: np.ndarray
    labels: np.ndarray
    whole_holdout: pa.Table

    @property
    def holdout(self) -> pa.Table:
        whole = self.whole_holdout
        return whole.take(list(range(0, whole.num_rows, _HOLDOUT_EACH)))

    def files(self, start: int, end: int) -> Mapping[str, bytes]:
        """Some of the training images, as the files in which they arrive."""
        return files_of(self.images[start:end], self.labels[start:end])

    def keep_holdout(self, table: Dataset) -> None:
        """Append the small holdout unless there is one; ingest never replaces a holdout."""
        if HOLDOUT not in table.arrival_names():
            table.append(self.holdout, HOLDOUT)


def read(places: Places) -> GenuineDigits:
    """Unpack and decode the official files, which takes a second."""
    files = mnist_files.official_files(places)
    return GenuineDigits(
        images=idx.decode("images", files[mnist_files.TRAIN_IMAGES], idx.IMAGES),
        labels=idx.decode("labels", files[mnist_files.TRAIN_LABELS], idx.LABELS),
        whole_holdout=DigitsSource(places).holdout(),
    )


def files_of(images: np.ndarray, labels: np.ndarray) -> Mapping[str, bytes]:
    return {
        f"{mnist_files.TRAIN_IMAGES}.gz": idx.compress(idx.encode(np.asarray(images, np.uint8))),
        f"{mnist_files.TRAIN_LABELS}.gz": idx.compress(idx.encode(labels)),
    }
