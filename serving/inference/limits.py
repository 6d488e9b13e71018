"""How much one request may ask for, and all of them together."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Of one worker: bytes of a body, rows of a batch, pixels of an image, requests at once.

    `waiting` counts the requests that arrive, wait or are answered; of them `answering` are
    answered at the same time. One client may have a quarter of them. `large_bytes` is what bodies
    over 64 kB may hold in memory together. `per_second` is for each client, None for no such
    limit; a client whose connections lie with several workers gets as much of each of them.
    """

    body_bytes: int = 16_000_000
    batch_rows: int = 1_024
    image_pixels: int = 4_000_000
    waiting: int = 256
    answering: int = 2
    large_bytes: int = 128_000_000
    per_second: float | None = None
