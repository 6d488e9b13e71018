"""Digests of bytes, as used in manifests, tables, exports and signatures."""

import hashlib


def digest(body: bytes) -> str:
    """sha256 in hexadecimal."""
    return hashlib.sha256(body).hexdigest()
