"""The files of TLS for gRPC: checked before workers start, and read by each of them."""

import ssl
from dataclasses import dataclass
from pathlib import Path

from overnight.store.errors import ConfigurationError

_SETTING = "OVERNIGHT_SERVING_GRPC_TLS"


@dataclass(frozen=True)
class TlsFiles:
    """A certificate chain, its key, and the authorities of clients that must have one, in PEM."""

    certificate: bytes
    key: bytes
    client_authorities: bytes | None = None


def tls_files(
    certificate: Path | None, key: Path | None, client_authorities: Path | None
) -> TlsFiles | None:
    """The contents of the files; None where no TLS is wanted.

    Raises:
        ConfigurationError: one is missing, cannot be read, or does not fit the others.
    """
    if certificate is None and key is None:
        if client_authorities is not None:
            raise ConfigurationError(
                f"{_SETTING}_CLIENT_CA_FILE: set {_SETTING}_CERTIFICATE_FILE and _KEY_FILE, too"
            )
        return None
    if certificate is None or key is None:
        raise ConfigurationError(
            f"{_SETTING}_CERTIFICATE_FILE and {_SETTING}_KEY_FILE: set both, or neither"
        )
    read = TlsFiles(
        _read(certificate, "CERTIFICATE_FILE"),
        _read(key, "KEY_FILE"),
        None if client_authorities is None else _read(client_authorities, "CLIENT_CA_FILE"),
    )
    try:
        # gRPC itself would say no more than that nothing can be bound.
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate, key)
        if client_authorities is not None:
            context.load_verify_locations(client_authorities)
    except (ssl.SSLError, OSError) as error:
        raise ConfigurationError(
            f"{_SETTING}_CERTIFICATE_FILE, _KEY_FILE: expected a certificate in PEM, its key, and "
            f"authorities, found what is not ({error})"
        ) from None
    return read


def _read(path: Path, setting: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigurationError(
            f"{_SETTING}_{setting}: {path} cannot be read ({error.strerror}); "
            "name a file in PEM that this user may read"
        ) from None
