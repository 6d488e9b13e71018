"""How much one request may ask for."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Limits:
    """Bytes of a body, and rows of a batch."""

    body_bytes: int = 16_000_000
    batch_rows: int = 1_024
