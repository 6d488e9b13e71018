"""Limits of one request, and of all concurrent requests of a worker."""

from dataclasses import dataclass

from overnight.serving.errors import LimitExceeded

# The pictures of one request may have so many times the pixels of the largest single one.
PICTURES_FACTOR = 4


@dataclass(frozen=True)
class Limits:
    """Limits of one worker: bytes of a body, rows of a batch, pixels of an image, requests.

    `text_bytes` are those of all texts of a request in UTF-8, without the names of categories.

    `waiting` is the number of requests in flight, of which `answering` run inference at the same
    time, beside calls of gRPC that are known to be quick, and one client may have a quarter.
    `large_bytes` is the memory of all bodies over 64 kB. `per_second` is the rate of each
    client, None for no limit. Every worker has its own count, so a client with connections to
    several workers gets the limits of each.

    A body must come at `body_bytes_per_second` on the whole, but for `body_grace_seconds`, and
    within `body_seconds`. As many bodies may be received as requests may be in flight.
    """

    body_bytes: int = 16_000_000
    batch_rows: int = 1_024
    image_pixels: int = 16_000_000
    text_bytes: int = 4_000_000
    waiting: int = 256
    answering: int = 2
    large_bytes: int = 128_000_000
    per_second: float | None = None
    body_bytes_per_second: float = 20_000
    body_grace_seconds: float = 10
    body_seconds: float = 300


class Allowance:
    """What is left of the limits of one request while its tensors are decoded one by one.

    `text` is its JSON, where that is known.
    """

    def __init__(self, limits: Limits, *, text: bytes | None = None) -> None:
        self.limits, self._text = limits, text
        self._text_bytes, self._pixels = limits.text_bytes, PICTURES_FACTOR * limits.image_pixels

    @property
    def has_flags(self) -> bool:
        """Whether true or false may be among the values.

        Python counts both as numbers, and looking for them among these takes longer than reading
        them. In most requests no word has these two letters, which are found missing at once.
        """
        text = self._text
        if text is None:
            return True
        return (b"r" in text and b"true" in text) or (b"l" in text and b"false" in text)

    def take_text(self, text: str, *, field: str) -> None:
        """Count a text.

        Raises:
            LimitExceeded: with it the texts of this request are longer than the limit.
        """
        # Most texts are ASCII, and then nothing has to be encoded to count its bytes.
        self._text_bytes -= len(text) if text.isascii() else len(text.encode(errors="replace"))
        if self._text_bytes < 0:
            expected = f"at most {self.limits.text_bytes} bytes of texts in a request"
            raise LimitExceeded(field, expected=expected, found="more")

    def take_pixels(self, pixels: int, *, field: str) -> None:
        """Count the pixels of a picture, or of the row that it becomes.

        Raises:
            LimitExceeded: with them the pictures of this request are larger than the limit.
        """
        self._pixels -= pixels
        if self._pixels < 0:
            most = PICTURES_FACTOR * self.limits.image_pixels
            expected = f"pictures of at most {most} pixels together in a request"
            raise LimitExceeded(field, expected=expected, found="more")
