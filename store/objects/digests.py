"""How bytes are named: in manifests, tables, exports and signatures."""

import hashlib


def digest(body: bytes) -> str:
    """sha256 in hexadecimal: how all bytes of ours are named."""
    return hashlib.sha256(body).hexdigest()
