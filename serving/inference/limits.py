"""Limits of one request, and of all concurrent requests of a worker."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Limits of one worker: bytes of a body, rows of a batch, pixels of an image, requests.

    `waiting` is the number of requests in flight, of which `answering` run inference at the same
    time and one client may have a quarter. `large_bytes` is the memory of all bodies over 64 kB.
    `per_second` is the rate of each client, None for no limit. Every worker has its own count, so
    a client with connections to several workers gets the limits of each.

    A body must come at `body_bytes_per_second` on the whole, but for `body_grace_seconds`, and
    within `body_seconds`. As many bodies may be received as requests may be in flight.
    """

    body_bytes: int = 16_000_000
    batch_rows: int = 1_024
    image_pixels: int = 16_000_000
    waiting: int = 256
    answering: int = 2
    large_bytes: int = 128_000_000
    per_second: float | None = None
    body_bytes_per_second: float = 20_000
    body_grace_seconds: float = 10
    body_seconds: float = 300
