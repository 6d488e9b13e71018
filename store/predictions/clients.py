"""How a client is named in the prediction log: by its key, or by a digest of it."""

import hashlib

from overnight.store.errors import ConfigurationError

# Another digest of the same key, elsewhere, cannot be joined with these.
_PURPOSE = b"overnight prediction log\0"


def client_digest(client: str) -> str:
    """The digest of a client's key: 64 hexadecimal digits, the same on every host.

    It hides the key from readers of the table. Who guesses a key can check the guess.
    """
    return hashlib.sha256(_PURPOSE + client.encode(errors="replace")).hexdigest()


def names_of(client: str) -> tuple[str, str]:
    """Both names under which rows of a client may be stored.

    Raises:
        ConfigurationError: the key is empty, as in all rows whose client was not recorded.
    """
    if not client:
        raise ConfigurationError(
            "the key of the client is empty; rows without a client are nobody's: name a key"
        )
    return client, client_digest(client)
