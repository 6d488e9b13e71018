"""Source of the forms: some images of MNIST that Census employees wrote, in one delivery."""

from collections.abc import Collection, Mapping

import numpy as np
import pyarrow as pa

from forms.writers import FIRST_CENSUS_TEST, census_positions
from overnight.models.definition import Delivery, Places, Reading
from overnight.models.digits import idx, mnist_files
from overnight.models.digits.files import read_files
from overnight.models.digits.source import DigitsSource

# Enough for 97 %, and so few that 300 others are worth learning.
CENSUS_ROWS = 1_000
HOLDOUT_EVERY = 1


class CensusDigits:
    """The first Census employees' images of the training file, and theirs of the test file."""

    def __init__(self, places: Places) -> None:
        self._places = places

    def deliver(self, delivered: Collection[str]) -> Delivery | None:
        """The one delivery, as IDX files; None once it was made."""
        if delivered:
            return None
        files = mnist_files.official_files(self._places)
        chosen = census_positions()[:CENSUS_ROWS]
        images = idx.decode("images", files[mnist_files.TRAIN_IMAGES], idx.IMAGES)[chosen]
        labels = idx.decode("labels", files[mnist_files.TRAIN_LABELS], idx.LABELS)[chosen]
        return Delivery(
            "census",
            {
                f"{mnist_files.TRAIN_IMAGES}.gz": idx.compress(idx.encode(images)),
                f"{mnist_files.TRAIN_LABELS}.gz": idx.compress(idx.encode(labels)),
            },
        )

    def read(self, files: Mapping[str, bytes]) -> Reading:
        """Digits from the formats of overnight's own digits."""
        return read_files(files)

    def holdout(self) -> pa.Table:
        """The second half of the test images, which Census employees wrote, or a part of it."""
        rows = DigitsSource(self._places).holdout()
        return rows.take(np.arange(FIRST_CENSUS_TEST, rows.num_rows, HOLDOUT_EVERY))
